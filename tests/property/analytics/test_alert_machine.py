"""The life of an alert under any verdicts, people and clocks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.alerts.machine import (
    FLAP_WINDOW,
    OPEN,
    Alert,
    Step,
    Transition,
    acknowledge,
    advance,
    resolve,
    silence,
)
from services.analytics.alerts.verdict import Verdict

START = datetime(2026, 3, 29, 23, 59, 50, tzinfo=UTC)
ALLOWED: dict[str | None, set[str | None]] = {
    None: {None, "pending", "firing"},
    "pending": {"pending", "firing", "dropped", "resolved"},
    "firing": {"firing", "acknowledged", "resolved"},
    "acknowledged": {"acknowledged", "resolved"},
    "resolved": {"resolved", "pending", "firing"},
    "dropped": {"dropped", "pending", "firing"},
}


def verdict(level: str, *, for_s: int = 0, keep_s: int = 60, observed: float = 1.0) -> Verdict:
    """A verdict that exceeds, is calm, or says neither."""
    return Verdict(
        rule="runaway",
        signal="tokens_per_minute_by_key",
        subject_kind="key",
        subject_id="key-1",
        account_id="account-1",
        exceeded=level == "exceeded",
        calm=level == "calm",
        observed=observed,
        threshold=10.0,
        unit="tokens/min",
        window_start=START,
        window_end=START + timedelta(minutes=1),
        for_s=for_s,
        keep_s=keep_s,
    )


WORDS = st.sampled_from(["exceeded", "exceeded", "calm", "between", "acknowledge", "resolve", "silence", "unsilence"])
STORIES = st.lists(st.tuples(WORDS, st.integers(0, 400)), max_size=60)


def act(alert: Alert | None, word: str, now: datetime, *, for_s: int, keep_s: int) -> Step:
    """One step of a story."""
    if word in {"exceeded", "calm", "between"}:
        return advance(alert, verdict(word, for_s=for_s, keep_s=keep_s), now)
    if alert is None:
        return None, ()
    if word == "acknowledge":
        return acknowledge(alert, "ann", now)
    if word == "resolve":
        return resolve(alert, "ann", now)
    return silence(alert, "silence-1" if word == "silence" else None, now)


@given(STORIES, st.sampled_from([0, 30, 300]), st.sampled_from([0, 60, 600]))
def test_an_alert_takes_only_steps_that_its_state_allows_and_each_is_told_once(
    story: list[tuple[str, int]], for_s: int, keep_s: int
) -> None:
    alert: Alert | None = None
    heard = False
    now = START
    for word, pause_s in story:
        now += timedelta(seconds=pause_s)
        before = alert
        alert, steps = act(alert, word, now, for_s=for_s, keep_s=keep_s)
        assert (alert.state if alert else None) in ALLOWED[before.state if before else None]
        if alert != before and alert is not None and before is not None and alert.state != before.state:
            assert steps, f"{before.state} became {alert.state} without a step"
        for step in steps:
            heard = _heard(step, alert, heard=heard)
        # The same again, at the same instant, changes nothing: the detectors repeat themselves.
        again, nothing = act(alert, word, now, for_s=for_s, keep_s=keep_s)
        if word in {"exceeded", "calm", "between"} and not (for_s == 0 and keep_s == 0 and word == "calm"):
            assert (again, nothing) == (alert, ())


def _heard(step: Transition, alert: Alert | None, *, heard: bool) -> bool:
    assert alert is not None
    if not step.told:
        return heard
    assert alert.silenced_by is None, "a silenced alert is told of to nobody"
    return step.kind != "resolved"


@given(STORIES, st.sampled_from([0, 30]), st.sampled_from([60, 600]))
def test_an_alert_is_resolved_only_after_it_was_calm_for_as_long_as_it_must_be(
    story: list[tuple[str, int]], for_s: int, keep_s: int
) -> None:
    alert: Alert | None = None
    calm_since: datetime | None = None
    now = START
    for word, pause_s in story:
        if word == "resolve":
            continue
        now += timedelta(seconds=pause_s)
        live = alert is not None and alert.state in {"firing", "acknowledged"}
        flaps = alert.flaps if alert else 0
        if word in {"exceeded", "between"} or not live:
            calm_since = None
        elif word == "calm":
            calm_since = calm_since or now
        alert, steps = act(alert, word, now, for_s=for_s, keep_s=keep_s)
        if live and any(step.kind == "resolved" for step in steps):
            assert calm_since is not None
            assert now - calm_since >= timedelta(seconds=keep_s * 2 ** min(flaps, 5))


def test_an_alert_fires_only_after_it_exceeded_for_as_long_as_it_must() -> None:
    alert, steps = advance(None, verdict("exceeded", for_s=60), START)
    assert [step.kind for step in steps] == ["pending"]
    alert, steps = advance(alert, verdict("exceeded", for_s=60), START + timedelta(seconds=59))
    assert steps == ()
    alert, steps = advance(alert, verdict("exceeded", for_s=60), START + timedelta(seconds=60))
    assert [(step.kind, step.told) for step in steps] == [("firing", True)]


def test_what_exceeded_too_shortly_is_dropped_and_told_to_nobody() -> None:
    alert, _ = advance(None, verdict("exceeded", for_s=60), START)
    alert, steps = advance(alert, verdict("between", for_s=60), START + timedelta(seconds=30))
    assert [(step.kind, step.told) for step in steps] == [("dropped", False)]
    fresh, _ = advance(alert, verdict("exceeded", for_s=60), START + timedelta(seconds=40))
    assert fresh is not None
    assert alert is not None
    assert fresh.alert_id != alert.alert_id


def test_an_alert_that_comes_back_soon_is_the_same_and_must_be_calm_for_longer() -> None:
    alert, _ = advance(None, verdict("exceeded"), START)
    alert, _ = advance(alert, verdict("calm"), START)
    alert, steps = advance(alert, verdict("calm"), START + timedelta(seconds=60))
    assert [step.kind for step in steps] == ["resolved"]
    again, steps = advance(alert, verdict("exceeded"), START + timedelta(seconds=120))
    assert alert is not None
    assert again is not None
    assert (again.alert_id, again.flaps, again.state) == (alert.alert_id, 1, "firing")
    assert again.keep == timedelta(seconds=120)
    later, _ = advance(alert, verdict("exceeded"), START + timedelta(seconds=60) + FLAP_WINDOW)
    assert later is not None
    assert (later.alert_id != alert.alert_id, later.flaps) == (True, 0)


def test_a_silence_mutes_and_its_end_tells_what_still_fires() -> None:
    alert, _ = advance(None, verdict("exceeded", for_s=10), START)
    assert alert is not None
    alert, _ = silence(alert, "silence-1", START)
    alert, steps = advance(alert, verdict("exceeded", for_s=10), START + timedelta(seconds=10))
    assert [(step.kind, step.told) for step in steps] == [("firing", False)]
    assert alert is not None
    _, steps = silence(alert, None, START + timedelta(seconds=20))
    assert [(step.kind, step.told) for step in steps] == [("unsilenced", False), ("firing", True)]


def test_the_peak_is_the_most_that_was_observed_while_it_was_open() -> None:
    alert, _ = advance(None, verdict("exceeded", observed=20.0), START)
    alert, _ = advance(alert, verdict("exceeded", observed=90.0), START)
    alert, _ = advance(alert, verdict("exceeded", observed=30.0), START)
    assert alert is not None
    assert (alert.peak, alert.last.observed, alert.state in OPEN) == (90.0, 30.0, True)


def test_a_verdict_is_not_both() -> None:
    with pytest.raises(ValueError, match="either exceeded or calm"):
        replace(verdict("exceeded"), calm=True)
