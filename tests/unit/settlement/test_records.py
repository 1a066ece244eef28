"""From bytes to a settling event, or to the reason why not."""

import pytest

from schemas.envelope import new_id
from services.settlement.errors import PoisonError
from services.settlement.records import Record, read, settles, type_of
from tests.integration.settlement.requests_made import completion, hold_for


def record(value: bytes | None, *, key: bytes | None = b"a", kind: str = "RequestCompleted") -> Record:
    return Record(0, 0, key, value, kind)


def test_an_event_is_read_with_a_digest_of_its_bytes() -> None:
    event = completion(hold_for("a"))
    incoming = read(record(event.to_json()))
    assert incoming.event == event
    assert incoming.event_id == event.event_id
    assert read(record(event.to_json() + b" ")).hash != incoming.hash


@pytest.mark.parametrize(
    ("headers", "kind"), [([("type", b"A")], "A"), ([("x", b"A")], ""), ([], ""), ([("type", b"\xff")], "\ufffd")]
)
def test_the_type_is_the_headers(headers: list[tuple[str, bytes]], kind: str) -> None:
    assert type_of(headers) == kind


def test_only_completions_and_records_without_a_type_are_looked_at() -> None:
    assert [settles(kind) for kind in ("RequestCompleted", "", "AttemptStarted")] == [True, True, False]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_value"),
        (b"", "unreadable"),
        (b'{"account_id":"a"}', "unreadable"),
        (b"NaN", "unreadable"),
        (b"\xc3\x28", "unreadable"),
        (b"x" * (2 << 20) + b"x", "too_large"),
    ],
)
def test_bytes_that_are_no_event_are_poison(value: bytes | None, reason: str) -> None:
    with pytest.raises(PoisonError) as poison:
        read(record(value))
    assert poison.value.reason == reason


def test_an_event_under_another_accounts_key_is_poison() -> None:
    with pytest.raises(PoisonError, match="wrong_key"):
        read(record(completion(hold_for("a")).to_json(), key=b"b"))


def test_the_reason_never_repeats_the_payload() -> None:
    secret = f"secret-{new_id()}"
    with pytest.raises(PoisonError) as poison:
        read(record(b'{"event_id":"' + secret.encode() + b'"}'))
    assert secret not in str(poison.value)
