"""The life of an alert. Pure: the caller keeps the clock and the store.

    (nothing) → pending → firing → acknowledged → resolved

A verdict may come once or a hundred times, from one detector or two: what is said again changes nothing. An alert that comes
back soon after it was resolved is the same alert, one flap older, and each flap doubles how long it must be calm. A silenced
alert lives on unheard; it is told when the silence ends and it still fires. Whoever heard it begin hears it end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from services.analytics.alerts.verdict import About, Verdict

State = Literal["pending", "firing", "acknowledged", "resolved", "dropped"]
Kind = Literal[
    "pending", "firing", "acknowledged", "resolved", "dropped", "silenced", "unsilenced",
    "asked", "approved", "declined", "withdrawn", "acted", "failed",
]  # fmt: skip
"""What happened to an alert; the second line is about the freeze that its rule wants."""
OPEN: frozenset[State] = frozenset(("pending", "firing", "acknowledged"))
LIVE: frozenset[State] = frozenset(("firing", "acknowledged"))
FLAP_WINDOW = timedelta(minutes=15)
"""An alert that fires again this soon after it was resolved is the same alert."""
MOST_DOUBLINGS = 5
LATE = timedelta(minutes=1)
"""A verdict about an older window than the last is one that came late, and says nothing. One that is older still is by a clock
that was put right, and counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as it stands. `last` is the verdict that was seen last; `peak` the most that was observed while it was open.

    `heard`: its beginning was told and its end was not, so that somebody waits to hear of that.
    """

    alert_id: str
    last: Verdict
    state: State
    opened_at: datetime
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    calm_since: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    silenced_by: str | None = None
    heard: bool = False
    flaps: int = 0
    peak: float = 0.0

    @property
    def about(self) -> About:
        """What it is about."""
        return self.last.about

    @property
    def keep(self) -> timedelta:
        """How long it must be calm before it is resolved: longer with every flap."""
        return timedelta(seconds=self.last.keep_s * 2 ** min(self.flaps, MOST_DOUBLINGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A step that an alert took. `told` is whether anybody is to hear of it."""

    kind: Kind
    at: datetime
    told: bool
    by: str | None = None
    reason: str | None = None


Step = tuple[Alert | None, tuple[Transition, ...]]


def advance(alert: Alert | None, verdict: Verdict, now: datetime, silence_id: str | None = None) -> Step:
    """What a verdict makes of the alert about its rule and subject, and the steps that this takes.

    `silence_id` names the silence that covers them now.
    """
    if alert is not None and timedelta() < alert.last.window_end - verdict.window_end <= LATE:
        return alert, ()
    if alert is None or alert.state == "dropped" or (alert.state == "resolved" and not _flaps(alert, now)):
        return _open(verdict, now, silence_id) if verdict.exceeded else (alert, ())
    if alert.state == "resolved":
        return _reopen(alert, verdict, now, silence_id) if verdict.exceeded else (alert, ())
    aligned, muted = silence(alert, silence_id, now)
    assert aligned is not None, "a silence does not end an alert"
    moved, steps = _pending(aligned, verdict, now) if aligned.state == "pending" else _live(aligned, verdict, now)
    return moved, (*muted, *steps)


def alert_id(about: About, opened_at: datetime) -> str:
    """The name of the alert about a subject that was opened at the instant."""
    return str(uuid5(NAMESPACE_URL, f"alert/{about.rule}/{about.subject_kind}/{about.subject_id}/{opened_at.isoformat()}"))


def acknowledge(alert: Alert, by: str, now: datetime, reason: str | None = None) -> Step:
    """Somebody looks after it. Nothing happens to an alert that does not fire."""
    if alert.state != "firing":
        return alert, ()
    taken = replace(alert, state="acknowledged", acknowledged_at=now, acknowledged_by=by)
    told = alert.heard and _heard(alert)
    return taken, (Transition(kind="acknowledged", at=now, told=told, by=by, reason=reason),)


def resolve(alert: Alert, by: str, now: datetime, reason: str | None = None) -> Step:
    """Somebody says that it is over. It comes back as a flap if the signal still exceeds."""
    return _resolved(alert, now, by, reason) if alert.state in OPEN else (alert, ())


def silence(alert: Alert, by: str | None, now: datetime) -> Step:
    """Mute an alert by the named silence, or with None let it be heard again: it is told then, if it still fires."""
    if alert.silenced_by == by or alert.state not in OPEN:
        return alert, ()
    moved = replace(alert, silenced_by=by)
    if by is not None:
        return moved, (Transition(kind="silenced", at=now, told=False, by=by),)
    ended = Transition(kind="unsilenced", at=now, told=False)
    if alert.state != "firing" or alert.heard:
        return moved, (ended,)
    return replace(moved, heard=True), (ended, Transition(kind="firing", at=now, told=True, reason="its silence has ended"))


def noteworthy(before: Alert | None, after: Alert) -> bool:
    """Whether an alert changed in more than what was observed of it last: such a change is written down at once."""
    return before is None or replace(after, last=before.last, peak=before.peak) != before


def _open(verdict: Verdict, now: datetime, silence_id: str | None) -> Step:
    fresh = Alert(
        alert_id=alert_id(verdict.about, now),
        last=verdict,
        state="pending",
        opened_at=now,
        pending_since=now,
        silenced_by=silence_id,
        peak=verdict.observed,
    )
    return _fire(fresh, now) if verdict.for_s <= 0 else (fresh, (Transition(kind="pending", at=now, told=False),))


def _reopen(alert: Alert, verdict: Verdict, now: datetime, silence_id: str | None) -> Step:
    again = replace(
        _seen(alert, verdict),
        state="pending",
        pending_since=now,
        flaps=alert.flaps + 1,
        calm_since=None,
        acknowledged_at=None,
        acknowledged_by=None,
        silenced_by=silence_id,
    )
    return _fire(again, now) if verdict.for_s <= 0 else (again, (Transition(kind="pending", at=now, told=False),))


def _pending(alert: Alert, verdict: Verdict, now: datetime) -> Step:
    if not verdict.exceeded:
        # One that had been resolved before falls back to that; its flap is not counted, as it did not fire again.
        state: State = "dropped" if alert.resolved_at is None else "resolved"
        flaps = alert.flaps if alert.resolved_at is None else alert.flaps - 1
        return replace(alert, state=state, flaps=flaps), (Transition(kind="dropped", at=now, told=False),)
    seen = _seen(alert, verdict)
    assert seen.pending_since is not None, "a pending alert says since when"
    due = seen.pending_since + timedelta(seconds=verdict.for_s)
    return _fire(seen, now) if now >= due else (seen, ())


def _live(alert: Alert, verdict: Verdict, now: datetime) -> Step:
    if not verdict.calm:
        return replace(_seen(alert, verdict), calm_since=None), ()
    calm = replace(alert, calm_since=alert.calm_since or now, last=verdict)
    assert calm.calm_since is not None, "it was just set"
    return _resolved(calm, now, None, None) if now >= calm.calm_since + calm.keep else (calm, ())


def _fire(alert: Alert, now: datetime) -> Step:
    told = _heard(alert)
    fired = replace(
        alert, state="firing", fired_at=alert.fired_at or now, resolved_at=None, resolved_by=None, calm_since=None, heard=told
    )
    return fired, (Transition(kind="firing", at=now, told=told),)


def _resolved(alert: Alert, now: datetime, by: str | None, reason: str | None) -> Step:
    # What nobody heard begin, nobody hears end; what somebody heard begin is ended for them under a silence too.
    over = replace(alert, state="resolved", resolved_at=now, resolved_by=by, heard=False)
    return over, (Transition(kind="resolved", at=now, told=alert.heard, by=by, reason=reason),)


def _seen(alert: Alert, verdict: Verdict) -> Alert:
    return replace(alert, last=verdict, peak=max(alert.peak, verdict.observed))


def _flaps(alert: Alert, now: datetime) -> bool:
    return alert.resolved_at is not None and now - alert.resolved_at < FLAP_WINDOW


def _heard(alert: Alert) -> bool:
    return alert.silenced_by is None
