"""An estimate with what the ledger says is available now."""

from typing import Any

import psycopg
from psycopg.rows import TupleRow

from schemas.runs import EstimateAsk
from services.settlement.balance_store import balances
from services.settlement.estimates import estimate, means_of
from services.settlement.pricebook import PriceBook
from services.settlement.run_reader import run
from services.settlement.runs import LimitLeft
from services.settlement.statements import statements


def make_estimate(connection: psycopg.Connection[TupleRow], holder: str, asked: EstimateAsk, book: PriceBook) -> dict[str, Any]:
    """Price the job and compare it with balances and limits, or with a run's budget. Raises NotFoundError for the run."""
    around = {"holder": holder, "project": asked.key.project_id, "key": asked.key.key_id}
    rows = connection.execute(statements("runs.sql")["limits_around"], around).fetchall()
    limits = [LimitLeft(*row) for row in rows]
    if asked.run_id is not None:
        found = run(connection, holder, asked.run_id)
        left = [(each["bucket"], each["left_nano"]) for each in found["budgets"]]
        return estimate(asked, book, means_of(left, limits, "run"))
    free = [(row["bucket"], row["available_nano"]) for row in balances(connection, holder)]
    return estimate(asked, book, means_of(free, limits, "bucket"))
