"""Sealing everything anew under the current secrets key, so that a former one can be forgotten."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from pydantic import ValidationError

from services.router.change_log import Entry, Who, record
from services.router.channel_secrets import ChannelSecrets, Row, sealed_of
from services.router.errors import SecretUnreadableError
from services.router.origin import origin_of
from services.router.queries import queries
from services.router.route_store import connect, content_of
from services.router.table import RouteTable
from services.router.vault import Home

Connection = psycopg.AsyncConnection[dict[str, Any]]


class Resealed(NamedTuple):
    """What was done. `unreadable` names version, channel and reason of each secret that opens under no key."""

    key_id: str
    resealed: int
    already: int
    unreadable: list[dict[str, Any]]


class Resealer:
    """Goes through every version of the table, each in a transaction of its own: cut short, the next run does the rest."""

    def __init__(self, database_url: str, secrets: ChannelSecrets) -> None:
        self._database_url = database_url
        self._secrets = secrets

    @property
    def key_id(self) -> str:
        """The id of the current secrets key."""
        return self._secrets.vault.key_id

    async def run(self, who: Who) -> Resealed:
        """Seal anew what is not under the current key. Raises psycopg.Error while the database is away.

        The log has an entry of each version that was sealed anew, and one of the whole run.
        """
        done = Resealed(self.key_id, 0, 0, [])
        after: int | None = 0
        async with await connect(self._database_url) as connection:
            while after is not None:
                async with connection.transaction():
                    after, done = await self._next(connection, after, done, who)
        return done

    async def held(self) -> list[dict[str, Any]]:
        """How many secrets are stored under which key; `key_id` is None for those sealed before keys had ids."""
        async with await connect(self._database_url) as connection:
            return await (await connection.execute(queries()["count_sealed"])).fetchall()

    async def _next(self, connection: Connection, after: int, done: Resealed, who: Who) -> tuple[int | None, Resealed]:
        await connection.execute(queries()["lock_tables"])
        found = await (await connection.execute(queries()["load_version"], {"after": after})).fetchone()
        if found is None:
            await record(connection, _entry(who, "all", None, done))
            return None, done
        version = int(found["version"])
        rows = await (await connection.execute(queries()["load_keys"], {"version": version})).fetchall()
        sealed = [{**row, "version": version} for row in rows if row["sealed"] is not None]
        stale = [row for row in sealed if not self._secrets.vault.is_current(sealed_of(row))]
        unreadable = [fault for row in stale if (fault := await self._reseal(connection, found["document"], row))]
        if stale and not unreadable:
            await self._refresh(connection, version, found["document"])
        here = Resealed(self.key_id, len(stale) - len(unreadable), len(sealed) - len(stale), unreadable)
        if stale:
            former = sorted({row["key_id"] or "" for row in stale})
            await record(connection, _entry(who, str(version), {"key_ids": former}, here))
        return version, done._replace(
            resealed=done.resealed + here.resealed,
            already=done.already + here.already,
            unreadable=done.unreadable + unreadable,
        )

    async def _reseal(self, connection: Connection, document: dict[str, Any], row: Row) -> dict[str, Any] | None:
        """Seal one secret anew. What keeps it from that, None where it is done."""
        try:
            home = _home(document, row)
            columns = self._secrets.sealed(self._secrets.open(row, home), home)
        except SecretUnreadableError as exc:
            return {"version": row["version"], "channel": row["channel_id"], "reason": str(exc)}
        await connection.execute(queries()["reseal_key"], {**row, **columns})
        return None

    async def _refresh(self, connection: Connection, version: int, document: dict[str, Any]) -> None:
        """Take the fingerprint of a table anew: it is keyed too, and tells whether the same content is posted again."""
        rows = await (await connection.execute(queries()["load_keys"], {"version": version})).fetchall()
        for channel in document["channels"]:
            own = [row for row in rows if row["channel_id"] == channel["id"]]
            for key, row in zip(channel["keys"], own, strict=True):
                if row["sealed"] is not None:
                    key["secret"] = self._secrets.open(row, _home(document, row))
        try:
            content = content_of(RouteTable.model_validate(document))
        except ValidationError:
            return  # a table of a form that nobody can post any more
        values = {"version": version, "fingerprint": self._secrets.vault.fingerprint(content)}
        await connection.execute(queries()["refresh_fingerprint"], values)


def _entry(who: Who, entity_id: str, before: dict[str, Any] | None, done: Resealed) -> Entry:
    """What the log says of it: counts and ids of keys, no secret."""
    after = {**done._asdict(), "unreadable": len(done.unreadable)}
    return Entry(who, "secrets.reseal", "secrets", entity_id, before, after)


def _home(document: dict[str, Any], row: Row) -> Home:
    """What a stored secret is for. An address that rules of today refuse is never called: what was stored of it stands in."""
    channel = next((each for each in document["channels"] if each["id"] == row["channel_id"]), None)
    if channel is None:
        raise SecretUnreadableError(f"the table has no channel {row['channel_id']}")
    try:
        origin = origin_of(channel["base_url"])
    except ValueError:
        origin = row["origin"]
    return Home(channel["id"], channel["brand"], channel["dialect"], origin)
