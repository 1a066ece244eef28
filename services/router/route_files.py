"""Tables as files: exported without secrets, imported with the stored ones kept, and what a file would change."""

from __future__ import annotations

from typing import Any, NamedTuple

from services.router.channel_secrets import ChannelSecrets, home_of
from services.router.errors import SecretUnreadableError, TableRejectedError
from services.router.route_diff import Change, changes
from services.router.route_store import RouteStore
from services.router.table import ChannelKey, ChannelRow, RouteTable
from services.router.vault import Home

FINGERPRINT_CHARS = 12
UNREADABLE = "0" * FINGERPRINT_CHARS
Json = dict[str, Any]


class Exported(NamedTuple):
    """A version and its table: a key is `{"secret_env": …}` or `{"kept": fingerprint}`."""

    version: int
    table: Json


class _StoredKey(NamedTuple):
    secret: str | None
    secret_env: str | None
    fingerprints: tuple[str, ...]
    home: Home | None


class RouteFiles:
    """Reads the table in force with its secrets open; no secret leaves it."""

    def __init__(self, store: RouteStore, secrets: ChannelSecrets) -> None:
        self._store = store
        self._secrets = secrets

    async def export(self) -> Exported:
        """The table in force, as it can be applied again."""
        version, table, stored = await self._in_force()
        document = _document(table)
        for channel in document["channels"]:
            channel["keys"] = [
                {"kept": key.fingerprints[0]} if key.secret_env is None else {"secret_env": key.secret_env}
                for key in stored[channel["id"]]
            ]
        return Exported(version, document)

    def shown(self, table: RouteTable) -> Json:
        """A table whose secrets are filled in, as an export would show it."""
        document = _document(table)
        for row, channel in zip(table.channels, document["channels"], strict=True):
            channel["keys"] = [
                {"secret_env": key.secret_env} if key.secret is None else {"kept": self._prints(row.id, key.secret)[0]}
                for key in row.keys
            ]
        return document

    async def diff(self, table: RouteTable) -> tuple[int, list[Change]]:
        """The version in force, and what the table would change of it. Raises :class:`TableRejectedError`."""
        self._store.check(table)
        version, old, stored = await self._in_force()
        new = self._filled(table, stored)
        before, after = _document(old), _document(new)
        for channel in before["channels"]:
            channel["keys"] = [key.secret_env or f"secret {key.fingerprints[0]}" for key in stored[channel["id"]]]
        for row, channel in zip(new.channels, after["channels"], strict=True):
            channel["keys"] = [key.secret_env or f"secret {self._prints(row.id, key.secret or '')[0]}" for key in row.keys]
        return version, changes(before, after)

    async def filled(self, table: RouteTable) -> RouteTable:
        """The table with the stored secrets in place of their fingerprints. Raises :class:`TableRejectedError`."""
        if all(key.kept is None for channel in table.channels for key in channel.keys):
            return table
        self._store.check(table)
        _, _, stored = await self._in_force()
        return self._filled(table, stored)

    async def _in_force(self) -> tuple[int, RouteTable, dict[str, list[_StoredKey]]]:
        found, rows = await self._store.load_with_keys()
        table = RouteTable.model_validate(found.document)
        stored: dict[str, list[_StoredKey]] = {channel.id: [] for channel in table.channels}
        by_id = {channel.id: channel for channel in table.channels}
        for row in rows:
            stored[row["channel_id"]].append(self._stored(by_id[row["channel_id"]], row))
        return found.version, table, stored

    def _stored(self, channel: ChannelRow, row: Json) -> _StoredKey:
        if row["secret_env"] is not None:
            return _StoredKey(None, row["secret_env"], (), None)
        try:
            home = home_of(channel)
            secret = self._secrets.usable(row, home)
        except (SecretUnreadableError, ValueError):
            # The channel is out of service, by its secret or its address: its key cannot be kept.
            return _StoredKey(None, None, (UNREADABLE,), None)
        return _StoredKey(secret, None, self._prints(channel.id, secret), home)

    def _prints(self, channel_id: str, secret: str) -> tuple[str, ...]:
        content = f"channel key\0{channel_id}\0{secret}".encode()
        return tuple(each.hex()[:FINGERPRINT_CHARS] for each in self._secrets.vault.fingerprints(content))

    def _filled(self, table: RouteTable, stored: dict[str, list[_StoredKey]]) -> RouteTable:
        rows = []
        for channel in table.channels:
            keys = tuple(self._kept(channel, key, stored.get(channel.id, [])) if key.kept else key for key in channel.keys)
            rows.append(channel.model_copy(update={"keys": keys}))
        return table.model_copy(update={"channels": tuple(rows)})

    @staticmethod
    def _kept(channel: ChannelRow, key: ChannelKey, stored: list[_StoredKey]) -> ChannelKey:
        found = next((each for each in stored if key.kept in each.fingerprints), None)
        if found is None or found.secret is None:
            raise TableRejectedError(
                f"channel {channel.id}: the table in force has no key {key.kept} that opens for it: give its secret anew"
            )
        if found.home != home_of(channel):
            raise TableRejectedError(
                f"channel {channel.id}: its brand, dialect or address is another one, and a stored key goes nowhere else: "
                "give its secret again"
            )
        return ChannelKey(secret=found.secret)


def _document(table: RouteTable) -> Json:
    document: Json = table.model_dump(mode="json", exclude_none=True, exclude={"channels": {"__all__": {"keys"}}})
    return document
