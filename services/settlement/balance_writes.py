"""Writes what a transaction did to the locked buckets and to the windows."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from services.settlement.arrays import bigints, uuids
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
            "accounts": bigints(accounts),
            "before": bigints(before),
            "after": bigints(after),
            "held": bigints(held),
        }
        connection.execute(sql["write_balance_moves"], parameters)
    states = buckets.states
    if states:
        parameters = {
            "accounts": bigints([state.account for state in states]),
            "posted": bigints([state.posted for state in states]),
            "held": bigints([state.held for state in states]),
            "overruns": bigints([state.overrun for state in states]),
        }
        connection.execute(sql["set_buckets"], parameters)
    if windows is not None and windows.moves:
        connection.execute(sql["move_windows"], windows.parameters())
