"""The loop that sends: a task for each receiver for which something waits, so that a slow one holds up nobody else."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import structlog

from schemas.alert_receivers import AlertmanagerReceiver, Receiver
from services.analytics import metrics
from services.analytics.delivery.backoff import GIVE_UP_AFTER
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.queue import AWAY, ORPHANS_AFTER, Claim, Queue
from services.analytics.delivery.sending import Sending

POLL_S = 0.3
AWAY_S = 1.0
HOUSEKEEPING_S = 30.0
STOP_S = 12.0
"""A message under way is given so long when the process ends; it is sent again by the next one otherwise."""
NAMES = {Sent: "sent", Later: "later", GivenUp: "failed"}
Directory = Callable[[], Mapping[str, Receiver]]
log = structlog.get_logger("analytics.delivery")


class Delivery:
    """Runs until it is stopped. `directory` gives the receivers of the rule file that is in force now."""

    def __init__(
        self,
        queue: Queue,
        sending: Sending,
        directory: Directory,
        *,
        poll_s: float = POLL_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._sending = sending
        self._directory = directory
        self._poll_s = poll_s
        self._draw = draw
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._last_housekeeping_s = -HOUSEKEEPING_S
        self._was_away = False

    def stop(self) -> None:
        """Begin no message any more."""
        self._stopping.set()

    async def run(self) -> None:
        """Look who waits, again and again; returns once it was stopped and what was under way has ended."""
        try:
            while not self._stopping.is_set():
                pause_s = await self._looked()
                await self._rest(pause_s)
        finally:
            await self._end()

    async def _looked(self) -> float:
        """One look; how long until the next."""
        try:
            await self._start_ready()
            await self._keep_house()
            self._was_away = False
        except AWAY as error:
            if not self._was_away:
                log.warning("queue_away", error=type(error).__name__)
            self._was_away = True
            return AWAY_S
        return self._poll_s

    async def _rest(self, pause_s: float) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping}, timeout=pause_s)
        stopping.cancel()

    async def _start_ready(self) -> None:
        known, due = self._directory(), await self._queue.due()
        metrics.DELIVERIES_WAITING.clear()
        now_s = time.time()
        for each in due:
            metrics.DELIVERIES_WAITING.labels(each.receiver).set(each.waiting)
        metrics.DELIVERY_OLDEST_SECONDS.set(max((now_s - each.oldest.timestamp() for each in due), default=0.0))
        for each in due:
            running = self._tasks.get(each.receiver)
            if each.ready and each.receiver in known and (running is None or running.done()):
                self._tasks[each.receiver] = asyncio.create_task(self._drain(each.receiver))

    async def _drain(self, name: str) -> None:
        """Tell one receiver what it may be told now."""
        try:
            while not self._stopping.is_set():
                receiver = self._directory().get(name)
                claim = None if receiver is None else await self._queue.claim(name, receiver)
                if receiver is None or claim is None:
                    return
                await self._tell(receiver, claim)
        except AWAY as error:
            log.warning("queue_away", receiver=name, error=type(error).__name__)
        except Exception:
            log.exception("delivery_fault", receiver=name)

    async def _tell(self, receiver: Receiver, claim: Claim) -> None:
        begun_s = time.monotonic()
        outcome = await self._sending.send(receiver, claim.rows, begun_s + self._queue.lease.total_seconds() / 2)
        await self._queue.record(claim, outcome, self._draw())
        metrics.DELIVERY_SECONDS.labels(receiver.kind).observe(time.monotonic() - begun_s)
        metrics.DELIVERIES.labels(receiver.kind, NAMES[type(outcome)]).inc(len(claim.rows))
        self._say(claim, outcome)

    def _say(self, claim: Claim, outcome: Outcome) -> None:
        facts = {"receiver": claim.receiver, "alerts": [row.notice.alert_id for row in claim.rows][:10]}
        if isinstance(outcome, Sent):
            log.info("delivered", **facts)
        elif isinstance(outcome, Later):
            log.warning("delivery_later", reason=outcome.reason, **facts)
        else:
            log.error("delivery_failed", reason=outcome.reason, **facts)

    async def _keep_house(self) -> None:
        """Now and then: give up what nobody receives any more, and tell Alertmanager again of what still fires."""
        if time.monotonic() - self._last_housekeeping_s < HOUSEKEEPING_S:
            return
        self._last_housekeeping_s = time.monotonic()
        known = self._directory()
        # No receiver at all may also be rules that were not read yet: then only what nobody is told for a day is given up.
        if ended := await self._queue.end_orphans(sorted(known), ORPHANS_AFTER if known else GIVE_UP_AFTER):
            metrics.DELIVERIES.labels("none", "failed").inc(ended)
            log.error("deliveries_without_receiver", count=ended)
        for name, receiver in known.items():
            task = f"{name} again"
            running = self._tasks.get(task)
            if isinstance(receiver, AlertmanagerReceiver) and (running is None or running.done()):
                self._tasks[task] = asyncio.create_task(self._again(name, receiver))

    async def _again(self, name: str, receiver: AlertmanagerReceiver) -> None:
        """What Alertmanager forgets when it starts anew, or holds to be over when nobody tells of it any more."""
        try:
            async with self._queue.still_open(name) as rows:
                outcome = await self._sending.send(receiver, rows) if rows else None
            if isinstance(outcome, Later | GivenUp):
                log.warning("not_told_again", receiver=name, reason=outcome.reason)
        except AWAY as error:
            log.warning("queue_away", receiver=name, error=type(error).__name__)
        except Exception:
            log.exception("delivery_fault", receiver=name)

    async def _end(self) -> None:
        under_way = [task for task in self._tasks.values() if not task.done()]
        if under_way:
            _, left = await asyncio.wait(under_way, timeout=STOP_S)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
