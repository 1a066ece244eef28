"""What settlement says of a refused hold reaches the client's program as well as its reader."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.calls import HoldRefusal
from schemas.envelope import new_id, now
from schemas.ledger import EnvelopeRef
from services.router.funding import PASSING_S, facts_of, refusal_of


def refusal(**fields: Any) -> HoldRefusal:
    return HoldRefusal(**{"hold_id": new_id(), "http_status": 402, "code": "budget_exceeded", "message": "m"} | fields)


def test_a_run_that_is_spent_tells_what_was_needed_and_left() -> None:
    told = refusal(
        envelope=EnvelopeRef(kind="run", id="run_1", window="run"),
        bucket="credit",
        currency="USD",
        needed_nano=20_000_000,
        left_nano=-1,
    )
    assert facts_of(told) == {
        "needed": "0.02",
        "left": "-0.000000001",
        "currency": "USD",
        "envelope": {"kind": "run", "id": "run_1", "window": "run"},
    }
    assert refusal_of(told).facts == facts_of(told)


def test_a_clock_that_lifts_a_refusal_is_told_as_an_instant_and_as_seconds() -> None:
    resets_at = datetime.fromtimestamp(int(now().timestamp()) + 3600, UTC)
    told = refusal_of(refusal(http_status=429, resets_at=resets_at))
    assert datetime.fromisoformat(told.facts["resets_at"]) == resets_at
    assert told.retry_after_s is not None
    assert timedelta(seconds=3500) < timedelta(seconds=told.retry_after_s) <= timedelta(seconds=3601)


def test_what_only_other_requests_are_in_the_way_of_is_asked_again_within_seconds() -> None:
    tomorrow = now() + timedelta(hours=9)
    figures: dict[str, Any] = {"currency": "USD", "needed_nano": 3, "left_nano": 1, "held_nano": 2}
    for http_status, resets_at in ((402, None), (429, tomorrow)):
        told = refusal_of(refusal(http_status=http_status, resets_at=resets_at, passing=True, **figures))
        assert told.retry_after_s == PASSING_S <= 5
        assert (told.facts["left"], told.facts["held"]) == ("0.000000001", "0.000000002")
    for http_status, resets_at in ((402, None), (429, tomorrow)):
        told = refusal_of(refusal(http_status=http_status, resets_at=resets_at, **figures))
        assert (told.retry_after_s or 0) > 8 * 3600 or resets_at is None
        assert told.retry_after_s is None or resets_at is not None
        assert told.facts["held"] == "0.000000002", "what is held is told where waiting for it does not help, too"


def test_a_refusal_without_figures_tells_none() -> None:
    assert facts_of(refusal(http_status=503, code="no_price")) == {}
