"""Requests as they end, from Kafka to whoever watches. Kafka is read only while somebody does."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import orjson
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas.access import ALL, Principal
from schemas.envelope import TYPE_HEADER
from services.analytics import metrics
from services.analytics.closing import close
from services.analytics.errors import TooManyOfYoursError, TransientError
from services.analytics.live_line import FOLLOWED, Line, Watch, line_of
from services.analytics.rows.decode import UNFIT

WATCHERS_MAX = 32
WATCHERS_OF_ONE = 4
WATCHERS_OF_ACCOUNT = 8
"""As many as one user and the users of one account may hold: no one of them shuts the others out."""
LINES_KEPT = 1_000
"""How far a watcher may fall behind before it is dropped."""
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
FETCH_MAX_WAIT_MS = 250
log = structlog.get_logger("analytics.live")


class TooManyWatchersError(TransientError):
    """As many watch as this process serves: try again when one has left."""


class Holder(NamedTuple):
    """Who watches: a user with the accounts that they watch as one of. The installation's own stand for no account."""

    user_id: str
    accounts: frozenset[str]

    @classmethod
    def of(cls, principal: Principal, watch: Watch) -> "Holder | None":
        """The holder of a watch; None for the admin token, which many may share and which may take what there is."""
        if principal.root:
            return None
        if principal.of_installation:
            return cls(principal.user_id, frozenset())
        seen = frozenset() if watch.accounts is ALL else watch.accounts
        return cls(principal.user_id, seen if watch.account_id is None else frozenset({watch.account_id}))


class Watcher:
    """One who watches: lines wait here until they are read, so many and no more."""

    def __init__(self, watch: Watch, kept: int = LINES_KEPT, holder: Holder | None = None) -> None:
        self.holder = holder
        self._watch = watch
        self._kept = kept
        self._lines: list[Line] = []
        self._news = asyncio.Event()
        self.ended: str | None = None

    def offer(self, line: Line) -> None:
        """Keep a line that is wanted. One who has fallen too far behind loses what waits, and is told so."""
        if self.ended is not None or not self._watch.wants(line):
            return
        if len(self._lines) >= self._kept:
            metrics.WATCHERS_DROPPED.inc()
            self._lines.clear()
            self.end(f"You read too slowly: {self._kept} requests waited for you. Watch again, with narrower filters.")
            return
        self._lines.append(line)
        self._news.set()

    def end(self, why: str) -> None:
        """Nothing comes any more, and why."""
        self.ended = self.ended or why
        self._news.set()

    async def take(self, patience_s: float) -> list[Line]:
        """What has come since, waiting a while for it. Empty when nothing came, or at the end."""
        if not self._lines and self.ended is None:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), patience_s)
        found, self._lines = self._lines, []
        return found


def refuse_too_many(holder: Holder, others: Sequence[Holder]) -> None:
    """Raise :class:`TooManyOfYoursError` for a watcher more than a user, or the users of one account, may hold."""
    if sum(each.user_id == holder.user_id for each in others) >= WATCHERS_OF_ONE:
        raise TooManyOfYoursError(
            f"You watch {WATCHERS_OF_ONE} times already, which is as often as one user may: end one first."
        )
    for account_id in sorted(holder.accounts):
        if sum(account_id in each.accounts for each in others) >= WATCHERS_OF_ACCOUNT:
            raise TooManyOfYoursError(
                f"{WATCHERS_OF_ACCOUNT} watch account {account_id} already, which is as many as an account may have:"
                " try again when one has left."
            )


class LiveFeed:
    """One consumer for all watchers of this process: begun with the first, ended with the last."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._watchers: set[Watcher] = set()
        self._turn = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def watching(self, watch: Watch, holder: Holder | None = None) -> AsyncIterator[Watcher]:
        """A watcher who sees every request that ends from now on.

        Raises :class:`TooManyOfYoursError` where the holder has enough, :class:`TransientError` where it cannot be now.
        """
        watcher = Watcher(watch, holder=holder)
        async with self._turn:
            if self._closed:
                raise TransientError("This process is ending: watch again.")
            if holder is not None:
                refuse_too_many(holder, [each.holder for each in self._watchers if each.holder is not None])
            if len(self._watchers) >= WATCHERS_MAX:
                raise TooManyWatchersError(f"{WATCHERS_MAX} watch already, which is as many as this process serves.")
            if self._following is None or self._following.done():
                self._following = asyncio.create_task(self._follow(await self._begin()))
            self._watchers.add(watcher)
            metrics.WATCHERS.set(len(self._watchers))
        try:
            yield watcher
        finally:
            await asyncio.shield(self._leave(watcher))

    def close(self) -> None:
        """Say to every watcher that the process ends, so that their streams hold it up no longer."""
        self._closed = True
        self._end_all("The service ends or starts anew: watch again.")

    async def _leave(self, watcher: Watcher) -> None:
        async with self._turn:
            self._watchers.discard(watcher)
            metrics.WATCHERS.set(len(self._watchers))
            if not self._watchers and self._following is not None:
                following, self._following = self._following, None
                following.cancel()
                await asyncio.wait({following})

    async def _begin(self) -> AIOKafkaConsumer:
        """A consumer that stands behind the last record of every partition."""
        consumer = AIOKafkaConsumer(
            *sorted({topic for topic, _ in FOLLOWED}),
            bootstrap_servers=self._bootstrap_servers,
            client_id="tollbook-analytics-live",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await consumer.start()
                await consumer.seek_to_end()
                for partition in consumer.assignment():
                    await consumer.position(partition)
        except (KafkaError, OSError, TimeoutError) as error:
            await close(consumer.stop(), STOP_TIMEOUT_S)
            raise TransientError(f"Kafka does not answer ({type(error).__name__}): watch again shortly.") from error
        return consumer

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                found = await consumer.getmany(timeout_ms=1_000)
                for partition, records in found.items():
                    self._tell(partition.topic, records)
        except (KafkaError, OSError) as error:
            log.warning("following ended", error=type(error).__name__)
            self._end_all("Kafka does not answer any more: watch again shortly.")
        finally:
            await close(consumer.stop(), STOP_TIMEOUT_S)

    def _tell(self, topic: str, records: Iterable[Any]) -> None:
        for record in records:
            kind = next((value.decode("ascii", "replace") for name, value in record.headers if name == TYPE_HEADER), None)
            if (topic, kind) not in FOLLOWED:
                continue
            try:
                line = line_of(orjson.loads(record.value))
            except UNFIT:
                continue  # the loader sets such a record aside and says so
            for watcher in self._watchers:
                watcher.offer(line)

    def _end_all(self, why: str) -> None:
        for watcher in self._watchers:
            watcher.end(why)
