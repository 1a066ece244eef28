"""What becomes of a message: how long it waits, what a reply means, how many a receiver takes, where nothing is sent."""

from datetime import UTC, datetime, timedelta

import pytest

from services.analytics.delivery.backoff import LONGEST_ASKED_S, delay_s, retry_after_s
from services.analytics.delivery.destinations import is_refused
from services.analytics.delivery.outcome import GivenUp, Later, Sent, of_reply
from services.analytics.delivery.pace import turn, within_window
from services.analytics.delivery.references import without

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_waits_double_up_to_the_cap_and_half_of_each_is_chance() -> None:
    assert [delay_s(failures, 300.0, 1.0) for failures in (1, 2, 3, 9, 10, 400)] == [1, 2, 4, 256, 300, 300]
    assert [delay_s(failures, 300.0, 0.0) for failures in (1, 2, 400)] == [0.5, 1, 150]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Wed, 04 Mar 2026 12:01:00 GMT", 60.0),
        ("Wed, 04 Mar 2026 11:00:00 GMT", 0.0),
        ("999999999", LONGEST_ASKED_S),
        ("inf", LONGEST_ASKED_S),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_retry_after_is_read_in_both_of_its_forms(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_is_accepted_is_sent(status: int) -> None:
    assert of_reply(status, {}, "ok", NOW) == Sent(status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_can_pass_by_itself_is_tried_again(status: int) -> None:
    assert of_reply(status, {"retry-after": "7"}, "later", NOW) == Later(f"HTTP {status}: later", status, 7.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_what_a_person_has_to_mend_is_given_up(status: int) -> None:
    assert of_reply(status, {}, "no_service\n", NOW) == GivenUp(f"HTTP {status}: no_service", status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_reply_that_sends_elsewhere_is_not_followed_and_its_address_not_repeated(status: int) -> None:
    outcome = of_reply(status, {"location": "https://elsewhere.example.com/secret"}, "", NOW)
    assert isinstance(outcome, GivenUp)
    assert "elsewhere.example.com" not in outcome.reason


def ago(*seconds: float) -> list[datetime]:
    """When messages went out."""
    return [NOW - timedelta(seconds=each) for each in seconds]


def test_a_receiver_takes_one_message_for_each_change_while_there_is_room() -> None:
    assert turn(ago(70, 30), 3, 5, "digest", NOW).size == 1
    assert turn([], 3, 1, "singly", NOW).size == 1
    assert turn([], 3, 0, "digest", NOW).size == 0


def test_the_last_message_of_a_minute_takes_all_that_waits() -> None:
    assert turn(ago(50, 30), 3, 24, "digest", NOW).size == 24
    assert turn(ago(50, 30), 3, 24, "singly", NOW).size == 1


def test_a_receiver_of_many_alerts_gets_them_at_once() -> None:
    assert turn([], 60, 24, "batch", NOW).size == 24


def test_beyond_the_pace_nothing_is_sent_until_the_minute_of_an_earlier_message_is_over() -> None:
    found = turn(ago(50, 30, 10), 3, 24, "digest", NOW)
    assert found.size == 0
    assert found.wait_until == NOW + timedelta(seconds=10)


def test_no_minute_has_more_messages_than_the_pace() -> None:
    sent: list[datetime] = []
    moment = NOW
    for _ in range(1_000):
        moment += timedelta(seconds=0.37)
        if turn(sent, 7, 100, "singly", moment).size:
            sent.append(moment)
        assert len(within_window(sent, moment)) <= 7
    assert len(sent) > 40


def test_a_pace_that_was_lowered_waits_until_enough_messages_are_a_minute_old() -> None:
    found = turn(ago(50, 40, 30, 20, 10), 2, 1, "singly", NOW)
    assert found.wait_until == NOW + timedelta(seconds=40)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "0.0.0.0", "224.0.0.1"),
        *("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "no address"),
    ],
)
def test_nothing_is_sent_to_where_clouds_hand_out_credentials(address: str) -> None:
    assert is_refused(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.5", "fd12::1", "::1", "93.184.215.14", "2606:2800::1"])
def test_a_receiver_may_live_in_its_operators_network(address: str) -> None:
    assert not is_refused(address)


def test_a_secret_is_cut_out_in_the_forms_in_which_programs_repeat_it() -> None:
    secret = "https://hooks.example.com/T/B/s3cret"
    text = f"cannot post to {secret}, https%3A%2F%2Fhooks.example.com%2FT%2FB%2Fs3cret"
    assert without(text, [secret]) == "cannot post to [redacted], [redacted]"
    assert without("the word ok stays", ["ok"]) == "the word ok stays"
