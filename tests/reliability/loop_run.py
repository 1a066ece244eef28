"""The worker's settlement loop in a thread of the proof's own: quick to start, stop and look into."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

from schemas import topics
from services.settlement.batch import Posting
from services.settlement.book_store import BookStore
from services.settlement.consumer import SettlementLoop
from services.settlement.database import connect
from services.settlement.leases import Leases
from services.settlement.settle_store import SettleStore
from tests.reliability.ground import Ground

LEASE_S = 3.0
TIMEOUT_MS = 20_000
GROUP = "settlement"
OWNER = "settlement-worker"


@contextmanager
def settlement_loop(on: Ground, books: BookStore, *, batch: int = 200, group: str = GROUP) -> Iterator[SettlementLoop]:
    """The loop until the block ends; whatever it raises is raised there."""
    token = uuid4().hex
    posting = Posting(lease=token, lease_s=LEASE_S, case_owner="proof", case_max_age_days=1)
    loop = SettlementLoop(
        bootstrap_servers=on.kafka,
        group=group,
        leases=Leases(topic=topics.ATTEMPTS, token=token, owner=OWNER, lease_s=LEASE_S),
        connect=partial(connect, on.database_url, statement_timeout_ms=TIMEOUT_MS),
        store=lambda connection: SettleStore(connection, posting=posting, book_of=books.version),
        batch=batch,
        linger_ms=0,
        lease_s=LEASE_S,
    )
    errors: list[BaseException] = []
    started, stop, home = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(home)
        home.call_soon(started.set)
        try:
            home.run_until_complete(loop.run(stop))
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            errors.append(error)
        finally:
            home.run_until_complete(home.shutdown_default_executor())
            home.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield loop
    finally:
        if not home.is_closed():
            home.call_soon_threadsafe(stop.set)
        thread.join()
    if errors:
        raise errors[0]
