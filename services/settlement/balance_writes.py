"""Writes what a transaction did to the locked buckets and to the windows."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from services.settlement.arrays import plain, uuids
from services.settlement.balances import Buckets
from services.settlement.entries import Windows, columns
from services.settlement.statements import statements

Move = tuple[UUID, int, int, int, int]
"""Transaction, ledger account, balance before and after, held after."""


def write_balances(
    connection: psycopg.Connection[TupleRow], moves: Sequence[Move], buckets: Buckets, windows: Windows | None = None
) -> None:
    """Write balance moves, every locked bucket, and the windows. The caller has locked the buckets in this transaction."""
    sql = statements("settle.sql")
    if moves:
        txns, accounts, before, after, held = columns(moves, 5)
        parameters = {
            "txns": uuids(txns),
            "accounts": plain(accounts),
            "before": plain(before),
            "after": plain(after),
            "held": plain(held),
        }
        connection.execute(sql["write_balance_moves"], parameters)
    states = buckets.states
    if states:
        parameters = {
            "accounts": plain([state.account for state in states]),
            "posted": plain([state.posted for state in states]),
            "held": plain([state.held for state in states]),
            "overruns": plain([state.overrun for state in states]),
        }
        connection.execute(sql["set_buckets"], parameters)
    if windows is not None and windows.moves:
        connection.execute(sql["move_windows"], windows.parameters())
