"""The keys of channels between the table, the database and the calls: sealed on the way in, opened on the way out.

A channel whose key cannot be used is out of service, with the reason, and holds up nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from services.router.errors import SecretUnreadableError, SecretUnsendableError
from services.router.key_rules import secret_fault, variable_fault
from services.router.origin import OriginRules, check_base_url, origin_of
from services.router.table import ChannelRow, RouteTable
from services.router.vault import NONCE_BYTES, Home, Sealed, Vault

Row = dict[str, Any]
Fault = Literal["shut", "unsendable", "elsewhere"]
"""shut: a sealed secret does not open. unsendable: it is there, and cannot be sent. elsewhere: in a variable or the address."""


class Opened(NamedTuple):
    """The keys of each channel that can be used, why others cannot, and how many are not under the current secrets key."""

    keys: dict[str, tuple[str, ...]]
    faults: dict[str, str]
    to_reseal: int


class ChannelSecrets:
    """Seals and opens. `environ` resolves `secret_env`; `random_bytes` makes nonces."""

    def __init__(
        self,
        vault: Vault,
        environ: Mapping[str, str],
        rules: OriginRules,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.vault = vault
        self._environ = environ
        self._rules = rules
        self._random_bytes = random_bytes

    def rows(self, version: int, channel: ChannelRow) -> list[Row]:
        """The channel's keys as they are stored."""
        home, rows = home_of(channel), []
        for position, key in enumerate(channel.keys):
            row: Row = {"version": version, "channel_id": channel.id, "position": position, "origin": home.origin}
            row |= {"secret_env": key.secret_env, "nonce": None, "sealed": None, "form": 1, "key_id": None}
            rows.append(row if key.secret is None else row | self.sealed(key.secret, home))
        return rows

    def sealed(self, secret: str, home: Home) -> Row:
        """The secret's columns, sealed under the current key."""
        return self.vault.seal(secret, home, self._random_bytes(NONCE_BYTES))._asdict()

    def usable(self, row: Row, home: Home) -> str:
        """The secret of a row as it can be sent. Raises :class:`SecretUnreadableError`, which says what to do."""
        secret = self.open(row, home)
        if fault := secret_fault(secret):
            variable = row["secret_env"]
            where = f"channel {home.channel_id}" if variable is None else f"the environment variable {variable}"
            raise SecretUnsendableError(f"{where}: {fault}")
        return secret

    def open(self, row: Row, home: Home) -> str:
        """The secret of a row, whatever it is: of a variable without white space at its ends, such as a file's last line break.

        Raises :class:`SecretUnreadableError`, which says what to do.
        """
        if row["secret_env"] is None:
            return self.vault.open(sealed_of(row), home)
        if fault := variable_fault(row["secret_env"]):
            raise SecretUnreadableError(fault)
        secret = self._environ.get(row["secret_env"], "").strip()
        if not secret:
            raise SecretUnreadableError(
                f"the environment variable {row['secret_env']} is not set: set it for router and start router again"
            )
        return secret

    def open_all(self, table: RouteTable, rows: Iterable[Row]) -> Opened:
        """All keys of a table. Raises :class:`SecretUnreadableError` where no sealed secret opens: the secrets key is wrong."""
        stored: dict[str, list[Row]] = {}
        for row in rows:
            stored.setdefault(row["channel_id"], []).append(row)
        keys: dict[str, tuple[str, ...]] = {}
        faults: dict[str, str] = {}
        opens, sealed_faults = 0, []
        for channel in table.channels:
            keys[channel.id], found = self._of(channel, stored.get(channel.id, []))
            if found:
                faults[channel.id] = "; ".join(reason for _, reason in found)
            opens += len(keys[channel.id]) + sum(fault == "unsendable" for fault, _ in found)
            sealed_faults += [reason for fault, reason in found if fault == "shut"]
        if sealed_faults and not opens:
            raise SecretUnreadableError(sealed_faults[0])
        stale = [row for of in stored.values() for row in of if row["sealed"] and not self.vault.is_current(sealed_of(row))]
        return Opened(keys, faults, len(stale))

    def _of(self, channel: ChannelRow, rows: list[Row]) -> tuple[tuple[str, ...], list[tuple[Fault, str]]]:
        """The keys that can be used, and why others cannot; the address alone may be at fault."""
        try:
            check_base_url(channel.base_url, self._rules)
        except ValueError as exc:
            return (), [("elsewhere", str(exc))]
        keys: list[str] = []
        faults: list[tuple[Fault, str]] = []
        for row in rows:
            try:
                keys.append(self.usable(row, home_of(channel)))
            except SecretUnsendableError as exc:
                faults.append(("unsendable", str(exc)))
            except SecretUnreadableError as exc:
                faults.append(("shut" if row["sealed"] is not None else "elsewhere", str(exc)))
        return tuple(keys), faults


def home_of(channel: ChannelRow) -> Home:
    """What the channel's secrets are for: read from the table itself, so that a changed address opens nothing."""
    return Home(channel.id, channel.brand, channel.dialect, origin_of(channel.base_url))


def sealed_of(row: Row) -> Sealed:
    """The sealed secret of a row."""
    return Sealed(bytes(row["nonce"]), bytes(row["sealed"]), row["form"], row["key_id"])
