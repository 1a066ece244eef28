"""Route tables in Postgres: versions, never changed, secrets sealed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from services.router.catalog import EMPTY, Catalog, compile_catalog
from services.router.errors import SecretUnreadableError, TableRejectedError
from services.router.origin import check_base_url, origin_of
from services.router.queries import queries
from services.router.table import ChannelRow, RouteTable
from services.router.vault import NONCE_BYTES, Sealed, Vault

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000


class StoredTable(NamedTuple):
    """A table as it is shown: without secrets. Version 0 while there is none."""

    version: int
    document: dict[str, Any]


class RouteStore:
    """Reads and writes tables. `environ` resolves `secret_env`; `random_bytes` makes nonces."""

    def __init__(
        self,
        database_url: str,
        vault: Vault,
        environ: Mapping[str, str],
        *,
        allow_private: bool,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database_url = database_url
        self._vault = vault
        self._environ = environ
        self._allow_private = allow_private
        self._random_bytes = random_bytes

    async def save(self, table: RouteTable) -> int:
        """The table's version: a new one, or that in force for the same content. Raises :class:`TableRejectedError`."""
        self._check(table)
        fingerprint = self._vault.fingerprint(table.model_dump_json().encode())
        async with await self._connect() as connection:
            await connection.execute(queries()["lock_tables"])
            latest = await (await connection.execute(queries()["latest"])).fetchone()
            if latest is not None and bytes(latest["fingerprint"]) == fingerprint:
                return int(latest["version"])
            version = 1 if latest is None else int(latest["version"]) + 1
            row = {"version": version, "document": Jsonb(public_document(table)), "fingerprint": fingerprint}
            await connection.execute(queries()["insert_table"], row)
            keys = [key for channel in table.channels for key in self._key_rows(version, channel)]
            await connection.cursor().executemany(queries()["insert_key"], keys)
        return version

    async def load(self) -> StoredTable:
        """The table in force, without secrets."""
        async with await self._connect() as connection:
            row = await (await connection.execute(queries()["load_table"])).fetchone()
        return (
            StoredTable(0, {"version": 1, "channels": [], "models": []})
            if row is None
            else StoredTable(row["version"], row["document"])
        )

    async def version(self) -> int:
        """The version in force, 0 while there is none."""
        async with await self._connect() as connection:
            row = await (await connection.execute(queries()["latest"])).fetchone()
        return 0 if row is None else int(row["version"])

    async def catalog(self) -> Catalog:
        """The table in force with its secrets open. Raises :class:`SecretUnreadableError`."""
        async with await self._connect() as connection:
            row = await (await connection.execute(queries()["load_table"])).fetchone()
            if row is None:
                return EMPTY
            keys = await (await connection.execute(queries()["load_keys"], {"version": row["version"]})).fetchall()
        secrets: dict[str, list[str]] = {}
        for key in keys:
            secrets.setdefault(key["channel_id"], []).append(self._opened(key))
        table = RouteTable.model_validate(row["document"])
        return compile_catalog(row["version"], table, {channel: tuple(opened) for channel, opened in secrets.items()})

    def _check(self, table: RouteTable) -> None:
        for channel in table.channels:
            try:
                check_base_url(channel.base_url, allow_private=self._allow_private)
            except ValueError as exc:
                raise TableRejectedError(f"channel {channel.id}: {exc}") from None
            for key in channel.keys:
                if key.secret_env is not None and not self._environ.get(key.secret_env):
                    raise TableRejectedError(f"channel {channel.id}: the environment variable {key.secret_env} is not set")

    def _key_rows(self, version: int, channel: ChannelRow) -> list[dict[str, Any]]:
        origin = origin_of(channel.base_url)
        rows: list[dict[str, Any]] = []
        for position, key in enumerate(channel.keys):
            row: dict[str, Any] = {"version": version, "channel_id": channel.id, "position": position, "origin": origin}
            row |= {"secret_env": key.secret_env, "nonce": None, "sealed": None}
            if key.secret is not None:
                sealed = self._vault.seal(
                    key.secret, channel_id=channel.id, origin=origin, nonce=self._random_bytes(NONCE_BYTES)
                )
                row |= {"nonce": sealed.nonce, "sealed": sealed.sealed}
            rows.append(row)
        return rows

    def _opened(self, row: dict[str, Any]) -> str:
        if row["secret_env"] is not None:
            secret = self._environ.get(row["secret_env"])
            if not secret:
                raise SecretUnreadableError(
                    f"channel {row['channel_id']}: the environment variable {row['secret_env']} is not set"
                )
            return secret
        sealed = Sealed(bytes(row["nonce"]), bytes(row["sealed"]))
        return self._vault.open(sealed, channel_id=row["channel_id"], origin=row["origin"])

    async def _connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        return await psycopg.AsyncConnection.connect(
            self._database_url,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        )


def public_document(table: RouteTable) -> dict[str, Any]:
    """The table as it is stored and shown: keys say where they come from, never what they are."""
    document = table.model_dump(mode="json", exclude_none=True)
    for channel, row in zip(document["channels"], table.channels, strict=True):
        channel["keys"] = [{"secret_env": key.secret_env} if key.secret_env else {"secret": "(sealed)"} for key in row.keys]
    return document
