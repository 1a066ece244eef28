"""Route tables in Postgres: versions, never changed, secrets sealed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from schemas.control import ControlRecord
from services.router import metrics
from services.router.catalog import EMPTY, Catalog, compile_catalog
from services.router.channel_secrets import ChannelSecrets
from services.router.errors import TableMovedError, TableRejectedError
from services.router.origin import OriginRules, check_base_url
from services.router.queries import queries
from services.router.table import SEALED, RouteTable

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
Log = Callable[[psycopg.AsyncConnection[dict[str, Any]], int], Awaitable[None]]
"""Writes down that a version comes into force, in the transaction that stores it."""


class StoredTable(NamedTuple):
    """A table as it is shown: without secrets. Version 0 while there is none."""

    version: int
    document: dict[str, Any]


class RouteStore:
    """Reads and writes tables."""

    def __init__(self, database_url: str, secrets: ChannelSecrets, rules: OriginRules) -> None:
        self._database_url = database_url
        self._secrets = secrets
        self._rules = rules

    async def save(self, table: RouteTable, expected: int | None = None, log: Log | None = None) -> int:
        """The table's version: a new one, or that in force for the same content. Raises :class:`TableRejectedError`.

        With `expected` only in place of that version. Raises :class:`TableMovedError` where another is in force. A new version
        is logged and announced with it; the same content is announced again.
        """
        self.check(table)
        fingerprints = self._secrets.vault.fingerprints(content_of(table))
        async with await connect(self._database_url) as connection:
            await connection.execute(queries()["lock_tables"])
            latest = await (await connection.execute(queries()["latest"])).fetchone()
            if latest is not None and bytes(latest["fingerprint"]) in fingerprints:
                await _announce(connection, int(latest["version"]))
                return int(latest["version"])
            in_force = 0 if latest is None else int(latest["version"])
            if expected is not None and expected != in_force:
                raise TableMovedError(f"version {in_force} is in force, not {expected}: look at the difference once more")
            version = in_force + 1
            row = {"version": version, "document": Jsonb(public_document(table)), "fingerprint": fingerprints[0]}
            await connection.execute(queries()["insert_table"], row)
            keys = [key for channel in table.channels for key in self._secrets.rows(version, channel)]
            await connection.cursor().executemany(queries()["insert_key"], keys)
            await _announce(connection, version)
            if log is not None:
                await log(connection, version)
        return version

    async def load(self) -> StoredTable:
        """The table in force, without secrets."""
        async with await connect(self._database_url) as connection:
            row = await (await connection.execute(queries()["load_table"])).fetchone()
        return (
            StoredTable(0, {"version": 1, "channels": [], "models": []})
            if row is None
            else StoredTable(row["version"], row["document"])
        )

    async def load_with_keys(self) -> tuple[StoredTable, list[dict[str, Any]]]:
        """The table in force and the rows of its keys."""
        stored = await self.load()
        async with await connect(self._database_url) as connection:
            keys = await (await connection.execute(queries()["load_keys"], {"version": stored.version})).fetchall()
        return stored, keys

    async def versions(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        """The versions that there are, the newest first, from a version on: when they came, and how much is in them."""
        async with await connect(self._database_url) as connection:
            values = {"after": before, "limit": limit}
            return await (await connection.execute(queries("control.sql")["list_tables"], values)).fetchall()

    async def one_version(self, version: int) -> dict[str, Any] | None:
        """A version with its table, without secrets; None where there is none."""
        async with await connect(self._database_url) as connection:
            return await (await connection.execute(queries("control.sql")["table_version"], {"version": version})).fetchone()

    async def version(self) -> int:
        """The version in force, 0 while there is none."""
        async with await connect(self._database_url) as connection:
            row = await (await connection.execute(queries()["latest"])).fetchone()
        return 0 if row is None else int(row["version"])

    async def catalog(self) -> Catalog:
        """The table in force with its secrets open. Raises :class:`SecretUnreadableError`."""
        async with await connect(self._database_url) as connection:
            row = await (await connection.execute(queries()["load_table"])).fetchone()
            if row is None:
                return EMPTY
            keys = await (await connection.execute(queries()["load_keys"], {"version": row["version"]})).fetchall()
        table = RouteTable.model_validate(row["document"])
        opened = self._secrets.open_all(table, keys)
        metrics.SECRETS_TO_RESEAL.set(opened.to_reseal)
        metrics.CHANNELS_OUT.set(sum(not keys for keys in opened.keys.values()))
        return compile_catalog(row["version"], table, opened.keys, opened.faults)

    def check(self, table: RouteTable) -> None:
        """Raise :class:`TableRejectedError` for an address that no key may be sent to, and for a secret that is none."""
        for channel in table.channels:
            try:
                check_base_url(channel.base_url, self._rules)
            except ValueError as exc:
                raise TableRejectedError(f"channel {channel.id}: {exc}") from None
            if any(key.secret == SEALED for key in channel.keys):
                message = (
                    f"a stored secret is shown as {SEALED}: give the secret itself, or the secret_env that it comes from, "
                    "or take `tollbook routes export`, whose `kept` keeps the stored one"
                )
                raise TableRejectedError(f"channel {channel.id}: {message}")


async def _announce(connection: psycopg.AsyncConnection[dict[str, Any]], version: int) -> None:
    record = ControlRecord(kind="routes", entity_id="table", version=version)
    await connection.execute(queries("control.sql")["insert_control"], {"record": Jsonb(record.model_dump(mode="json"))})


async def connect(database_url: str) -> psycopg.AsyncConnection[dict[str, Any]]:
    """A connection to router's tables, with bounds."""
    return await psycopg.AsyncConnection.connect(
        database_url,
        row_factory=dict_row,
        connect_timeout=CONNECT_TIMEOUT_S,
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
    )


def public_document(table: RouteTable) -> dict[str, Any]:
    """The table as it is stored and shown: keys say where they come from, never what they are."""
    document = table.model_dump(mode="json", exclude_none=True)
    for channel, row in zip(document["channels"], table.channels, strict=True):
        channel["keys"] = [{"secret_env": key.secret_env} if key.secret_env else {"secret": SEALED} for key in row.keys]
    return document


def content_of(table: RouteTable) -> bytes:
    """What the fingerprint of a table is taken of: all of it, secrets too."""
    return table.model_dump_json().encode()
