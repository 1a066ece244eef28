"""Where verdicts and people move alerts: one transaction for a change, its history, its event, and what follows from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.analytics import metrics
from services.analytics.alerts import machine, store
from services.analytics.alerts.freezes import Freeze
from services.analytics.alerts.machine import Alert, Step, Transition
from services.analytics.alerts.silences import Silence, covering
from services.analytics.alerts.verdict import Verdict
from services.analytics.audit import Change, Who, record
from services.analytics.database import Connection, Database, rows_of
from services.analytics.delivery.outbox import enqueue
from services.analytics.errors import AlertStateError, UnknownAlertError

REFRESH = timedelta(seconds=5)
"""What was observed last is written so often where nothing else changed."""
log = structlog.get_logger("analytics.alerts")
Act = Callable[[Alert, datetime], Step]


class AlertDesk:
    """Takes verdicts from whoever detects, and what people decide. `wake` is called once something was written."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def take(self, verdicts: Sequence[Verdict]) -> None:
        """Move the alerts that these verdicts are about. The same again changes nothing. Raises PostgresAwayError."""
        if not verdicts:
            return
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            silences = await store.silences_in_force(connection, at)
            known = await store.alerts_about(connection, sorted({verdict.about for verdict in verdicts}))
            for verdict in verdicts:
                kept = known.get(verdict.about)
                before = None if kept is None else kept.alert
                after, steps = machine.advance(before, verdict, at, covering(silences, verdict, at))
                if after is None or after == before:
                    continue
                if kept is None or machine.noteworthy(before, after) or at - kept.updated_at >= REFRESH:
                    await _write(connection, after, steps, at)
                    known[verdict.about] = store.Kept(after, at)
        self._wake()

    async def retire(self, rules: Mapping[str, str], signals: Iterable[str]) -> int:
        """End the open alerts of these signals whose rule is none of these any more, or watches another signal by now, as
        nobody judges them; how many. `rules`: id → signal."""
        judged = frozenset(signals)
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            orphans = [
                alert
                for alert in await store.open_alerts(connection)
                if alert.last.signal in judged and rules.get(alert.last.rule) != alert.last.signal
            ]
            for alert in orphans:
                await _write(connection, *machine.resolve(alert, "", at, "its rule is no longer in force"), at)
        self._wake()
        return len(orphans)

    async def act(self, alert_id: UUID, by: Who, name: str, act: Act, reason: str | None = None) -> Alert:
        """Let somebody do something to an alert. Raises AlertStateError where it is not open any more."""
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            before = await _existing(connection, alert_id)
            if (before.state not in machine.LIVE and name != "alert.resolve") or before.state not in machine.OPEN:
                raise AlertStateError("alert_not_open", f"This alert is {before.state}: there is nothing to do about it.")
            after, steps = act(before, at)
            if steps:
                await _write(connection, after, steps, at)
                await record(connection, by, _change(name, before, after, reason))
        self._wake()
        assert after is not None, "what people do does not make an alert vanish"
        return after

    async def decide(self, alert_id: UUID, by: Who, *, approve: bool, reason: str | None = None) -> Alert:
        """Answer an alert that asks whether to freeze. Raises AlertStateError where it asks nothing."""
        state, kind = ("waiting", "approved") if approve else ("declined", "declined")
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            alert = await _existing(connection, alert_id)
            decided = await store.decide_freezes(connection, alert, state, by.author, at)
            if not decided:
                raise AlertStateError("nothing_asked", "This alert asks for no freeze (any more): there is nothing to decide.")
            step = Transition(kind="approved" if approve else "declined", at=at, told=False, by=by.author, reason=reason)
            await store.add_step(connection, alert, step)
            after = {"decision": kind, "freezes": [f"{row['kind']} {row['target_id']}" for row in decided]}
            change = Change(
                f"alert.{'approve' if approve else 'decline'}", "alert", alert.alert_id, alert.last.account_id or None
            )
            await record(connection, by, change._replace(before={"decision": "asked"}, after=after, reason=reason))
        self._wake()
        return alert

    async def add_silence(self, silence: Silence, by: Who) -> Silence:
        """Silence what fits from now on, and what fires already. The same again answers as before.

        Raises AlertStateError for another silence under an id that is taken.
        """
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            if found := await rows_of(connection, store.SQL, "silence", {"silence_id": silence.silence_id}):
                return _same(store.silence_from(found[0]), silence)
            made = replace(silence, created_at=at)
            await rows_of(connection, store.SQL, "add_silence", asdict(made))
            change = Change("silence.create", "silence", made.silence_id, made.account_id or None)
            await record(connection, by, change._replace(after=_told(made), reason=made.reason))
            await _align(connection, await store.open_alerts(connection), at)
        self._wake()
        return made

    async def end_silence(self, silence_id: UUID, by: Who, reason: str | None = None) -> Silence:
        """End a silence at once; ending one that is over is harmless. What still fires is told then."""
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            found = await rows_of(connection, store.SQL, "silence", {"silence_id": silence_id})
            if not found:
                raise UnknownAlertError("silence", str(silence_id))
            before = store.silence_from(found[0])
            if before.ended_at is None:
                await rows_of(connection, store.SQL, "end_silence", {"silence_id": silence_id, "at": at, "by": by.author})
                change = Change("silence.end", "silence", before.silence_id, before.account_id or None)
                await record(connection, by, change._replace(before=_told(before), reason=reason))
                await _align(connection, await store.open_alerts(connection), at)
            ended = store.silence_from((await rows_of(connection, store.SQL, "silence", {"silence_id": silence_id}))[0])
        self._wake()
        return ended

    async def let_be_heard(self) -> None:
        """Look whether the silences of silenced alerts still hold: once a second, as they end by themselves."""
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            silenced = [alert for alert in await store.open_alerts(connection) if alert.silenced_by is not None]
            told = await _align(connection, silenced, at)
        if told:
            self._wake()


async def _align(connection: Connection, alerts: Iterable[Alert], at: datetime) -> int:
    silences = await store.silences_in_force(connection, at)
    moved = 0
    for alert in alerts:
        after, steps = machine.silence(alert, covering(silences, alert.last, at), at)
        if steps:
            await _write(connection, after, steps, at)
            moved += 1
    return moved


async def _write(connection: Connection, alert: Alert | None, steps: Iterable[Transition], at: datetime) -> None:
    """Keep an alert with the steps that it took, and what follows from each."""
    assert alert is not None, "only what exists is written"
    await store.keep(connection, alert, at)
    for step in steps:
        await store.add_step(connection, alert, step)
        metrics.ALERT_STEPS.labels(alert.last.signal, step.kind).inc()
        told = {"alert_id": alert.alert_id, "rule": alert.last.rule, "subject": alert.last.subject_id, "told": step.told}
        log.warning("alert", step=step.kind, observed=alert.last.observed, threshold=alert.last.threshold, **told)
        freeze = await _wanted(connection, alert, step, at)
        asked = "asked" if freeze is not None and freeze.state == "asked" else ""
        await enqueue(connection, alert, step, alert.last.receivers, action_state=asked)
        if freeze is not None and asked:
            question = f"freeze the {freeze.kind} {freeze.target_id}?"
            await store.add_step(connection, alert, Transition(kind="asked", at=at, told=False, reason=question))
        elif step.kind == "resolved" and await store.decide_freezes(connection, alert, "withdrawn", None, at):
            await store.add_step(connection, alert, Transition(kind="withdrawn", at=at, told=False))


async def _wanted(connection: Connection, alert: Alert, step: Transition, at: datetime) -> Freeze | None:
    """What is to be frozen, or asked: once for each time that it fires. Nobody's silence of their own account holds up what a
    locked rule freezes: its owner does not undo that either."""
    if step.kind != "firing" or not (step.told or await _holds_nobody(connection, alert)):
        return None
    asked = await store.freezes_of(connection, [UUID(alert.alert_id)])
    since = alert.pending_since or alert.opened_at
    return None if any(each.asked_at >= since for each in asked) else await store.ask_freeze(connection, alert, at)


async def _holds_nobody(connection: Connection, alert: Alert) -> bool:
    if alert.silenced_by is None or not alert.last.locked or alert.last.action == "ask":
        return False
    (row,) = await rows_of(connection, store.SQL, "silence", {"silence_id": alert.silenced_by})
    return bool(row["account_id"])


async def _existing(connection: Connection, alert_id: UUID) -> Alert:
    alert = await store.alert_of(connection, alert_id)
    if alert is None:
        raise UnknownAlertError("alert", str(alert_id))
    return alert


def _change(name: str, before: Alert, after: Alert | None, reason: str | None) -> Change:
    told = [None if alert is None else {"state": alert.state, "silenced_by": alert.silenced_by} for alert in (before, after)]
    return Change(name, "alert", before.alert_id, before.last.account_id or None, told[0], told[1], reason)


def _same(before: Silence, asked: Silence) -> Silence:
    if _told(before) | {"reason": before.reason} != _told(asked) | {"reason": asked.reason}:
        raise AlertStateError("idempotency_conflict", "This idempotency key made another silence: use another key.")
    return before


def _told(silence: Silence) -> dict[str, object]:
    words = ("rule", "subject_kind", "subject_id", "tag", "account_id")
    named = {name: getattr(silence, name) for name in words if getattr(silence, name)}
    return named | {"until": silence.until.isoformat()}
