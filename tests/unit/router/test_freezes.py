"""Frozen channels: the newest decision counts, a plan passes them over, and a refusal names them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
    for each in decisions:
        freezes.apply(each)
    return Health(BreakerLimits(), lambda: 0.0, freezes)


def test_the_newest_decision_counts_in_whatever_order_they_come() -> None:
    freezes = Freezes()
    assert freezes.apply(decided(2, frozen=False))
    assert not freezes.apply(decided(1, frozen=True))
    assert not freezes.apply(decided(2, frozen=False))
    assert (freezes.channels, freezes.stamp) == ({}, 2)
    assert freezes.apply(decided(3, frozen=True))
    assert list(freezes.channels) == ["a"]


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
    of.freezes.apply(decided(1, frozen=True))
    assert of.begin(CATALOG.channels["a"]) == "channel_frozen"
    of.freezes.apply(decided(2, frozen=False))
    assert isinstance(of.begin(CATALOG.channels["a"]), Passage)


def test_a_refusal_names_the_frozen_channels_and_tells_them_from_resting_ones() -> None:
    both = health(decided(1, frozen=True), decided(1, frozen=True, channel_id="b"))
    with pytest.raises(RefusalError) as caught:
        make_plan(CATALOG, "gpt-4o", POLICY, both.condition, lambda: 0.5, wait_s=both.wait_s)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "channel_frozen", 60)
    assert "(a, b)" in caught.value.message
    one = health(decided(1, frozen=True))
    for _ in range(5):
        passage = one.begin(CATALOG.channels["b"])
        assert isinstance(passage, Passage)
        passage.failed("upstream_error")
    with pytest.raises(RefusalError) as caught:
        make_plan(CATALOG, "gpt-4o", POLICY, one.condition, lambda: 0.5, wait_s=one.wait_s)
    assert caught.value.code == "upstream_unavailable"
    assert "resting after failures or was taken out of use by an operator (a)" in caught.value.message


def test_a_dry_run_says_who_froze_a_channel_and_why() -> None:
    of = health(decided(1, frozen=True))
    plan = make_plan(CATALOG, "gpt-4o", POLICY, of.condition, lambda: 0.5)
    shown = explain(plan, POLICY, (), Views(lambda: 0.5), of.freezes.channels)
    assert shown["candidates"][0]["skipped"] == "channel_frozen"
    assert shown["candidates"][0]["why"].endswith(
        "taken out of use: frozen by ada since 2026-11-25 20:30:00 UTC: it bills twice"
    )
