"""The loop that tells receivers, over a queue in Postgres, as tests run it."""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from schemas.alert_receivers import Receiver, Receivers
from schemas.envelope import now
from services.analytics.delivery.http_sender import HttpSender
from services.analytics.delivery.loop import Delivery
from services.analytics.delivery.notice import Notice
from services.analytics.delivery.outbox import put
from services.analytics.delivery.owners import NoNames
from services.analytics.delivery.queue import Pool, Queue, new_pool
from services.analytics.delivery.sending import Sending
from services.analytics.delivery.smtp_sender import SmtpSender
from tests.unit.analytics.notices import notice

ADAPTER: TypeAdapter[Receivers] = TypeAdapter(Receivers)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
DEADLINE_S = 60.0
POLL_S = 0.02


class NoCosts:
    """What the verdict itself says, and no more."""

    async def cost(self, notice: Notice) -> Mapping[str, int]:
        """As the notice has it."""
        return notice.cost_nano


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Ask again and again until the condition gives something true; its answer."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what}")


@dataclass
class Rig:
    """A queue, its receivers, and the loop."""

    pool: Pool
    receivers: dict[str, Receiver] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=lambda: {"WEBHOOK_SECRET": SECRET, "PAGERDUTY_KEY": ROUTING_KEY})
    timeout_s: float = 20.0
    tls: ssl.SSLContext | None = None
    lease: timedelta = timedelta(seconds=60)

    def webhook(self, name: str, url: str, **changed: Any) -> None:
        """A signed webhook."""
        self.receiver(name, kind="webhook", url=url, secret="${env:WEBHOOK_SECRET}", allow_http=True, **changed)

    def receiver(self, name: str, **fields: Any) -> None:
        """A receiver of the rule file."""
        self.receivers |= ADAPTER.validate_python({name: fields})

    async def tell(self, told_of: Notice, *names: str) -> None:
        """Write down what is to be told, to every receiver unless some are named."""
        async with self.pool.connection() as connection, connection.transaction():
            await put(connection, told_of, names or self.receivers)

    async def storm(self, count: int, *names: str) -> None:
        """So many alerts that fire at once."""
        async with self.pool.connection() as connection, connection.transaction():
            for number in range(count):
                told_of = notice(f"alr_{number}", fired_at=now(), subject_id=f"key_{number}")
                await put(connection, told_of, names or self.receivers)

    async def rows(self, **wanted: Any) -> list[dict[str, Any]]:
        """The queue's rows in order, whose columns have these values."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute("SELECT * FROM analytics.delivery ORDER BY position")
            found = await cursor.fetchall()
        return [row for row in found if all(row[name] == value for name, value in wanted.items())]

    async def how(self, name: str) -> dict[str, Any]:
        """How a receiver does."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute("SELECT * FROM analytics.delivery_receiver WHERE receiver = %s", [name])
            return await cursor.fetchone() or {}

    async def change(self, statement: str) -> None:
        """Change the queue behind the loop's back."""
        async with self.pool.connection() as connection:
            await connection.execute(statement.encode())

    async def all_ended(self, number: int) -> bool:
        """Whether so many rows have ended."""
        return len([row for row in await self.rows() if row["ended_at"] is not None]) == number

    def new_sending(self) -> tuple[Sending, HttpSender]:
        """What sends, and what of it is to be closed."""
        http = HttpSender(timeout_s=self.timeout_s, clock=now, tls=self.tls)
        sending = Sending(
            http=http,
            smtp=SmtpSender(timeout_s=self.timeout_s, tls=self.tls),
            owners=NoNames(),
            costs=NoCosts(),
            environ=self.environ,
            dashboard_url="",
        )
        return sending, http

    def new_delivery(self) -> tuple[Delivery, HttpSender]:
        """A loop over the queue, not running, and what is to be closed after it."""
        sending, http = self.new_sending()
        queue = Queue(self.pool, lease=self.lease)
        return Delivery(queue, sending, lambda: self.receivers, poll_s=POLL_S, draw=lambda: 0.0), http

    @asynccontextmanager
    async def running(self, count: int = 1) -> AsyncIterator[list[Delivery]]:
        """So many loops, until the block ends."""
        made = [self.new_delivery() for _ in range(count)]
        tasks = [asyncio.create_task(each.run()) for each, _ in made]
        try:
            yield [each for each, _ in made]
        finally:
            for each, _ in made:
                each.stop()
            await asyncio.gather(*tasks)
            for _, http in made:
                await http.close()


@asynccontextmanager
async def rig_over(database_url: str) -> AsyncIterator[Rig]:
    """A rig over a database with analytics' schema."""
    async with new_pool(database_url) as pool:
        yield Rig(pool)
