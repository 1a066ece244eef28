"""Frozen channels: what Postgres says counts, a plan passes them over, and a refusal names them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from schemas.control import ControlRecord
from services.router.breaker import BreakerLimits
from services.router.errors import RefusalError
from services.router.explain import explain
from services.router.freeze_store import announced, announcement
from services.router.freezes import Freeze, Freezes
from services.router.health import Health, Passage
from services.router.plan import make_plan
from services.router.strategies import Views
from tests.unit.router.things import catalog, channel, context, model

AT = datetime(2026, 11, 25, 20, 30, tzinfo=UTC)
CATALOG = catalog([channel("a"), channel("b")], [model("gpt-4o", "a", "b")])
POLICY = context().policy


def decided(version: int, *, frozen: bool, channel_id: str = "a") -> Freeze:
    """A decision."""
    return Freeze(channel_id, frozen, version, "ada", "it bills twice", AT)


def health(*decisions: Freeze) -> Health:
    """The state of channels under these decisions."""
    freezes = Freezes()
    freezes.replace(decisions)
    return Health(BreakerLimits(), lambda: 0.0, freezes)


def test_what_the_tables_say_counts_whatever_was_known_before() -> None:
    freezes = Freezes()
    assert freezes.replace([decided(9, frozen=True), decided(2, frozen=True, channel_id="b")])
    # A database that was restored has an older decision on one channel and none on the other.
    assert freezes.replace([decided(1, frozen=False)]) == [decided(1, frozen=False)]
    assert freezes.channels == {}
    assert freezes.replace([decided(1, frozen=False)]) == []
    freezes.replace([decided(2, frozen=True)])
    assert list(freezes.channels) == ["a"]


def test_a_record_that_nobody_decided_is_found_once() -> None:
    freezes = Freezes()
    freezes.replace([decided(3, frozen=True)])
    assert freezes.knows(decided(3, frozen=True))
    assert not freezes.knows(decided(3, frozen=False))
    assert [freezes.found_ahead(decided(each, frozen=False)) for each in (2, 3, 2**62, 2**62)] == [False, False, True, False]
    assert freezes.found_ahead(decided(1, frozen=True, channel_id="never-decided"))


@pytest.mark.parametrize("version", [-1, 2**63, 10**30])
def test_a_control_record_has_a_version_that_a_database_can_have(version: int) -> None:
    record = announcement(decided(2**63 - 1, frozen=True)).model_dump_json()
    assert ControlRecord.model_validate_json(record).version == 2**63 - 1
    with pytest.raises(ValidationError):
        ControlRecord.model_validate_json(record.replace(str(2**63 - 1), str(version)))


def test_a_decision_is_the_same_after_it_was_announced() -> None:
    assert announced(announcement(decided(3, frozen=True))) == decided(3, frozen=True)


def test_a_frozen_channel_is_passed_over_and_begins_no_call() -> None:
    of = health(decided(1, frozen=True))
    plan = make_plan(CATALOG, "gpt-4o", POLICY, of.condition, lambda: 0.5)
    assert (plan.skips, plan.usable) == (("channel_frozen", None), [1])
    assert of.begin(CATALOG.channels["a"]) == "channel_frozen"
    assert isinstance(of.begin(CATALOG.channels["b"]), Passage)


def test_a_channel_that_is_frozen_after_the_plan_was_made_begins_no_call() -> None:
    of = health()
    make_plan(CATALOG, "gpt-4o", POLICY, of.condition, lambda: 0.5)
    of.freezes.replace([decided(1, frozen=True)])
    assert of.begin(CATALOG.channels["a"]) == "channel_frozen"
    of.freezes.replace([decided(2, frozen=False)])
    assert isinstance(of.begin(CATALOG.channels["a"]), Passage)


def refusal(of: Health) -> RefusalError:
    """What a request is answered."""
    with pytest.raises(RefusalError) as caught:
        make_plan(CATALOG, "gpt-4o", POLICY, of.condition, lambda: 0.5, wait_s=of.wait_s, frozen=of.freezes.channels)
    return caught.value


def test_a_refusal_tells_frozen_channels_from_resting_ones() -> None:
    both = health(decided(1, frozen=True), decided(1, frozen=True, channel_id="b"))
    told = refusal(both)
    assert (told.status, told.code, told.retry_after_s) == (503, "channel_frozen", 60)
    assert told.message == (
        "Every channel that may serve the model `gpt-4o` is stopped for now by the operator; nothing was charged."
        " Try again in 60 seconds."
    )
    one = health(decided(1, frozen=True))
    for _ in range(5):
        passage = one.begin(CATALOG.channels["b"])
        assert isinstance(passage, Passage)
        passage.failed("upstream_error")
    told = refusal(one)
    assert told.code == "upstream_unavailable"
    assert "is resting after failures or stopped for now by the operator. Try" in told.message


ALERT = "rule errors, alert 01990000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("author", "reason", "told"),
    [
        ("alert:errors", f"{ALERT}: 0.9 share exceeded 0.2", f" (by an alert: {ALERT})"),
        ("alert:errors", "frozen by hand of a rule", " (by an alert: rule errors)"),
        ("alert:errors", None, " (by an alert: rule errors)"),
        ("ada", f"{ALERT}: copied", ""),
    ],
)
def test_a_client_is_told_the_alert_that_froze_and_neither_channels_nor_numbers_nor_a_persons_words(
    author: str, reason: str | None, told: str
) -> None:
    by_alert = Freeze("a", True, 1, author, reason, AT)
    message = refusal(health(by_alert, by_alert._replace(channel_id="b"))).message
    assert f"is stopped for now by the operator{told}; nothing was charged" in message


def test_a_dry_run_says_who_froze_a_channel_and_why() -> None:
    of = health(decided(1, frozen=True))
    plan = make_plan(CATALOG, "gpt-4o", POLICY, of.condition, lambda: 0.5)
    shown = explain(plan, POLICY, (), Views(lambda: 0.5), of.freezes.channels)
    assert shown["candidates"][0]["skipped"] == "channel_frozen"
    assert shown["candidates"][0]["why"].endswith(
        "taken out of use: frozen by ada since 2026-11-25 20:30:00 UTC: it bills twice"
    )
