"""The life of an alert under any verdicts, people and clocks."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from services.analytics.alerts.records import alert_from, document_of
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
        return advance(alert, verdict(word, for_s=for_s, keep_s=keep_s), now, alert.silenced_by if alert else None)
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
    if step.kind == "firing":
        assert not (step.told and heard), "nobody is told twice that it fires"
        assert not step.told or alert.silenced_by is None, "a silenced alert is told of to nobody"
        return heard or step.told
    if step.kind == "resolved":
        assert step.told == heard, "whoever heard it begin hears it end, and nobody else"
        return False
    return heard


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
    alert, steps = advance(alert, verdict("exceeded", for_s=10), START + timedelta(seconds=10), "silence-1")
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


class Life(RuleBasedStateMachine):
    """Detectors that repeat themselves and come late, people, silences, and a process that forgets all but what is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.alert: Alert | None = None
        self.said: list[Verdict] = []
        self.silence_id: str | None = None
        self.heard: dict[str, int] = {}
        self.steps: list[tuple[str, str]] = []

    def moved(self, step: Step) -> None:
        """What a step made of the alert, and who hears of it."""
        before, (self.alert, steps) = self.alert, step
        for each in steps:
            assert self.alert is not None
            self.steps.append((self.alert.alert_id, each.kind))
            if each.told and each.kind in {"firing", "resolved"}:
                count = self.heard.get(self.alert.alert_id, 0)
                assert count == (0 if each.kind == "firing" else 1), "told twice, or of an end without a beginning"
                self.heard[self.alert.alert_id] = 1 - count
        if before is not None and self.alert is not None and before.state != self.alert.state:
            assert steps

    @rule(level=st.sampled_from(["exceeded", "between", "calm"]), seconds=st.integers(0, 90), for_s=st.sampled_from([0, 20]))
    def judge(self, level: str, seconds: int, for_s: int) -> None:
        """A detector says something, twice."""
        self.now += timedelta(seconds=seconds)
        said = replace(verdict(level, for_s=for_s, keep_s=30), window_end=self.now, window_start=self.now)
        self.said.append(said)
        self.moved(advance(self.alert, said, self.now, self.silence_id))
        self.moved(advance(self.alert, said, self.now, self.silence_id))

    @precondition(lambda self: len(self.said) > 1)
    @rule(data=st.data())
    def repeat_late(self, data: st.DataObject) -> None:
        """An answer was lost, and what was said before the last comes once more: that it exceeds, or that it is calm."""
        late = data.draw(st.sampled_from(self.said[:-1]))
        last = self.said[-1]
        age = last.window_end - late.window_end
        if not timedelta() < age <= timedelta(minutes=1) or self.alert is None or self.alert.last != last:
            return
        assert advance(self.alert, late, self.now, self.silence_id) == (self.alert, ())

    @rule(word=st.sampled_from(["acknowledge", "resolve"]))
    def decide(self, word: str) -> None:
        """Somebody does something, twice."""
        for _ in range(2):
            self.moved(act(self.alert, word, self.now, for_s=0, keep_s=30))

    @rule(silence_id=st.sampled_from([None, "silence-1", "silence-2"]))
    def mute(self, silence_id: str | None) -> None:
        """A silence begins or ends."""
        self.silence_id = silence_id
        if self.alert is not None:
            self.moved(silence(self.alert, silence_id, self.now))

    @rule()
    def restart(self) -> None:
        """What is stored is all that there is."""
        if self.alert is not None:
            stored = json.loads(document_of(self.alert))
            assert alert_from(stored) == self.alert
            self.alert = alert_from(stored)

    @invariant()
    def nobody_waits_for_an_end_in_vain(self) -> None:
        """Whoever was told that an alert fires is told once it is over; an open one knows who waits."""
        if self.alert is not None:
            assert bool(self.heard.get(self.alert.alert_id, 0)) == self.alert.heard
        for alert_id, waiting in self.heard.items():
            assert not waiting or (self.alert is not None and self.alert.alert_id == alert_id)

    @invariant()
    def what_fires_unsilenced_was_told(self) -> None:
        """An alert that fires and is not silenced is one that somebody heard of."""
        if self.alert is not None and self.alert.state == "firing" and self.alert.silenced_by is None:
            assert self.alert.heard


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
