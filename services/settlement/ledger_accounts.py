"""Ledger accounts by name in Postgres: opened on first use, remembered for the life of the process."""

from collections.abc import Mapping

import psycopg
from psycopg.rows import TupleRow

from services.settlement.accounts import LedgerAccount
from services.settlement.arrays import texts
from services.settlement.statements import statements

REMEMBERED = 10_000


class AccountIds:
    """Ids of ledger accounts. An account is never renamed or removed, so what is remembered stays true."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._ids: dict[str, int] = {}

    def open(self, accounts: Mapping[str, LedgerAccount]) -> None:
        """Make sure that the accounts (by name) exist, in a transaction of their own unless one is under way."""
        if len(self._ids) > REMEMBERED:
            self._ids.clear()
        missing = [accounts[name] for name in sorted(accounts.keys() - self._ids.keys())]
        if not missing:
            return
        sql = statements("settle.sql")
        names = texts([account.name for account in missing])
        self._connection.execute(
            sql["open_accounts"],
            {
                "names": names,
                "kinds": texts([account.kind for account in missing]),
                "currencies": texts([account.currency for account in missing]),
                "sides": texts([account.normal_side for account in missing]),
                "holders": texts([account.holder for account in missing]),
                "buckets": texts([account.bucket for account in missing]),
            },
        )
        self._ids.update(self._connection.execute(sql["account_ids"], {"names": names}).fetchall())

    def id_of(self, account: LedgerAccount) -> int:
        """The id of an account that was opened before. Raises KeyError."""
        return self._ids[account.name]
