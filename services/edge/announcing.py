"""What the control topic says of accounts, projects and keys: whose they are, and how they stand.

A new entity is announced in the transaction that makes it, a change in the one that makes the change. What a topic does not
name, because it was made before entities were announced or because the topic is new, is announced when edge starts.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import structlog
from psycopg.types.json import Jsonb

from schemas.control import ControlRecord
from services.edge.database import Connection, Database, rows_of
from services.edge.errors import StoreUnavailableError

log = structlog.get_logger(__name__)

Kind = Literal["account", "project", "key"]
KINDS: tuple[Kind, ...] = ("account", "project", "key")
PAGE = 200
RETRY_S = 1.0


async def announce(connection: Connection, kind: Kind, ids: Sequence[str]) -> list[ControlRecord]:
    """Leave the records of these entities in the outbox, within the caller's transaction, which holds their rows."""
    records = []
    for row in await rows_of(connection, f"{kind}_standings", {"ids": list(ids)}):
        record = ControlRecord(kind=kind, **row)
        await rows_of(connection, "insert_control", {"record": Jsonb(record.model_dump(mode="json"))})
        records.append(record)
    return records


class Announcer:
    """Compares what the topic said up to its end with the tables, once per process, and announces what it left out."""

    def __init__(self, database: Database, caught_up: asyncio.Event, nudge: Callable[[], None]) -> None:
        self._database = database
        self._caught_up = caught_up
        self._nudge = nudge
        self._said: dict[str, int] | None = {}

    def hear(self, record: ControlRecord) -> None:
        """The topic names an entity. One without its account was announced before records said whose it is."""
        if self._said is not None and record.account_id is not None:
            self._said[record.key] = record.version

    async def run(self) -> None:
        """Wait for the end of the topic, announce, and end."""
        await self._caught_up.wait()
        for kind in KINDS:
            after: str | None = ""
            while after is not None:
                try:
                    after = await self._page(kind, after)
                except StoreUnavailableError:
                    await asyncio.sleep(RETRY_S)
        self._said = None

    async def _page(self, kind: Kind, after: str) -> str | None:
        """Announce what is missing of one page of ids. The id to go on from, None after the last."""
        assert self._said is not None
        rows = await self._database.rows(f"{kind}_ids", {"after": after, "limit": PAGE})
        missing = [row["entity_id"] for row in rows if self._said.get(f"{kind}/{row['entity_id']}", 0) < row["version"]]
        if missing:
            async with self._database.transaction() as connection:
                await announce(connection, kind, missing)
            log.info("announced what the control topic does not name", kind=kind, count=len(missing))
            self._nudge()
        return rows[-1]["entity_id"] if len(rows) == PAGE else None
