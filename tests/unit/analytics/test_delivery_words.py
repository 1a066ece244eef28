"""An alert in words: what happened, against what, whose it is, what it has cost, what to do next."""

from typing import Any

import pytest

from services.analytics.delivery.notice import NOBODY
from services.analytics.delivery.wording import clean, freeze_command, measured, number, told
from tests.unit.analytics.notices import DASHBOARD, OWNER, notice


def steps(event: str = "firing", **changed: Any) -> dict[str, str]:
    """What to do next."""
    return {step.label: step.text for step in told(notice(event=event, **changed), OWNER, DASHBOARD).steps}


def test_a_firing_alert_says_everything_that_on_call_asks() -> None:
    words = told(notice(), OWNER, DASHBOARD)
    assert words.headline == "FIRING runaway-key: key nightly (key_nightly) at 200,000 tokens/min"
    lines = dict(words.lines)
    assert "had 200,000 tokens/min between 11:59:30 and 12:00:30 UTC on 2026-03-04" in lines["What happened"]
    assert lines["Against"] == "a baseline of 333 tokens/min (601 times that); rule runaway-key fires above 60,000 tokens/min"
    assert lines["Owner"] == (
        "account Acme (acc_acme); project Search (prj_search); key nightly (key_nightly); owners: Ada, Grace"
    )
    assert lines["Cost so far"] == "3.00 CNY, 12.50 USD"


def test_a_firing_alert_says_what_to_do_next() -> None:
    assert steps() == {
        "Runbook": "https://runbooks.example.com/runaway-key",
        "Freeze": "tollbook keys freeze key_nightly --reason 'alert alr_1'",
        "Acknowledge": "tollbook alerts ack alr_1",
        "Dashboard": f"{DASHBOARD}#custom&from=2026-03-04T11:29:30Z&to=2026-03-04T12:30:30Z&key_id=key_nightly",
    }


def test_a_rule_that_asks_first_names_the_decision() -> None:
    found = steps(action="ask", action_state="asked")
    assert found["Approve the freeze"] == "tollbook alerts approve alr_1"
    assert found["Decline"] == "tollbook alerts decline alr_1"
    assert "Freeze" not in found


def test_what_its_rule_freezes_is_unfrozen_and_not_frozen_again() -> None:
    words = told(notice(action="freeze_key"), OWNER, DASHBOARD)
    assert words.note == "its rule freezes the key at once"
    assert steps(action="freeze_key")["Unfreeze"] == "tollbook keys unfreeze key_nightly --reason 'alert alr_1'"
    assert "Freeze" not in steps(action="freeze_key")
    assert "Unfreeze" in steps("resolved", action="freeze_key")


def test_a_rule_that_freezes_the_project_of_a_key_is_undone_for_the_project() -> None:
    assert steps(action="freeze_project")["Unfreeze"] == "tollbook projects unfreeze prj_search --reason 'alert alr_1'"


def test_the_end_says_how_long_it_was_and_asks_for_nothing() -> None:
    words = told(notice(event="resolved"), OWNER, DASHBOARD)
    assert words.headline == "RESOLVED runaway-key: key nightly (key_nightly)"
    assert "It fired at 12:00:30 and is over since 12:05:30 UTC." in words.what
    shown = f"{DASHBOARD}#custom&from=2026-03-04T11:29:30Z&to=2026-03-04T12:35:30Z&key_id=key_nightly"
    assert steps("resolved") == {"Dashboard": shown}


def test_an_acknowledgement_says_by_whom_and_why() -> None:
    words = told(notice(event="acknowledged", actor="usr_1 (Ada)", reason="known migration"), OWNER, DASHBOARD)
    assert words.note == "acknowledged by usr_1 (Ada); known migration"
    assert "Acknowledge" not in steps("acknowledged")


def test_without_a_baseline_and_names_the_words_say_so() -> None:
    words = told(notice(baseline=None, cost_nano={}), NOBODY, "")
    assert words.against == "no baseline yet; rule runaway-key fires above 60,000 tokens/min"
    assert words.owner == "account acc_acme; project prj_search; key key_nightly"
    assert words.dashboard == ""
    assert "Cost so far" not in dict(words.lines)


def test_an_alert_of_the_installation_belongs_to_its_operators() -> None:
    found = told(notice(subject_kind="channel", subject_id="openai-direct", account_id="", project_id=""), NOBODY, "")
    assert found.owner == "the installation's operators"


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("key", "tollbook keys freeze 'it'\"'\"'s; rm -rf x' --reason 'alert alr_1'"),
        ("project", "tollbook projects freeze 'it'\"'\"'s; rm -rf x' --reason 'alert alr_1'"),
        ("account", "tollbook accounts freeze 'it'\"'\"'s; rm -rf x' --reason 'alert alr_1'"),
        ("channel", "tollbook channels freeze 'it'\"'\"'s; rm -rf x' --reason 'alert alr_1'"),
        ("model", ""),
        ("tag", ""),
        ("system", ""),
    ],
)
def test_a_command_that_is_pasted_runs_what_it_shows_and_nothing_else(kind: str, command: str) -> None:
    assert freeze_command(notice(subject_kind=kind, subject_id="it's; rm -rf x")) == command


def test_what_others_chose_stays_on_one_line_and_bounded() -> None:
    assert clean("a\nb\r\n\tc\u202ed") == "a b c\\u202ed"
    assert clean("x" * 1_000) == "x" * 299 + "…"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (12.0, "12"), (0.123456, "0.123"), (1234.5, "1,234"), (2e6, "2,000,000"), (99.95, "100")]
)
def test_figures_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_share_is_a_percentage_and_money_is_an_amount_of_its_currency() -> None:
    assert measured(0.25, "share") == "25%"
    assert measured(12_345_678_901.0, "nano USD") == "12.35 USD"
    assert measured(4_500_000.0, "nano CNY") == "0.0045 CNY"
    assert measured(3.0, "fallbacks_per_minute") == "3 fallbacks per minute"


def test_every_signal_is_told_in_a_unit_that_people_read() -> None:
    spent = told(
        notice(signal="spend_by_route", unit="nano USD", observed=31e9, baseline=4e9, threshold=1.6e10), OWNER, DASHBOARD
    )
    assert spent.headline.endswith(" at 31.00 USD")
    assert dict(spent.lines)["Against"] == "a baseline of 4.00 USD (7.75 times that); rule runaway-key fires above 16.00 USD"
    failed = told(notice(signal="error_rate_by_channel", unit="share", observed=0.42, baseline=0.01, threshold=0.2), OWNER, "")
    assert " had 42% between " in failed.what


def test_a_link_shows_no_single_key_for_what_is_not_about_one() -> None:
    of_channel = told(notice(subject_kind="channel", subject_id="openai-main"), OWNER, DASHBOARD)
    assert of_channel.dashboard == f"{DASHBOARD}#custom&from=2026-03-04T11:29:30Z&to=2026-03-04T12:30:30Z"


def test_a_test_says_that_nothing_happened() -> None:
    words = told(notice(event="test"), NOBODY, "")
    assert words.headline == "TEST: Tollbook can reach this receiver"
    assert words.against == ""
    assert [step.label for step in words.steps] == []
