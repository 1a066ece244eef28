"""The requests of an account, page by page, the newest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.arrays import uuids
from services.settlement.attempt_pages import id_at
from services.settlement.database import snapshot
from services.settlement.request_rows import rows
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
State = Literal["pending", "settled", "released", "expired", "refused"]
Outcome = Literal["succeeded", "failed", "cancelled"]
LOOKED_AT = 10_000
"""How many holds one page looks at: a filter that few requests meet gives short pages, not slow ones."""
SKEW = timedelta(hours=1)
"""Requests of a run have ids of edge's clock, the run has times of Postgres's: never this far apart."""
LEAST, BEYOND = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFilter:
    """Which requests are meant; what is None does not matter. `after` is the last one of the page before."""

    since: datetime | None = None
    until: datetime | None = None
    project_id: str | None = None
    key_id: str | None = None
    run_id: str | None = None
    model: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    after: UUID | None = None


def page(
    connection: Connection, account_id: str, asked: RequestFilter, *, limit: int, looked_at: int = LOOKED_AT
) -> dict[str, Any]:
    """A page. It may be short, or empty, with a `next_after` nevertheless: there the next one goes on looking."""
    sql = statements("requests.sql")
    with snapshot(connection), connection.cursor(row_factory=dict_row) as cursor:
        bounds = _bounds(connection, account_id, asked)
        wanted = {
            "project": asked.project_id,
            "key": asked.key_id,
            "run": asked.run_id,
            "model": asked.model,
            "state": asked.state,
            "outcome": asked.outcome,
        }
        key = {"holder": account_id, "looked_at": looked_at, "limit": limit + 1, **wanted, **bounds}
        # What is not filtered is on the page: it looks at no more than that.
        floor = connection.execute(sql["floor"], key).fetchone() if any(wanted.values()) else None
        key |= {"least": floor[0]} if floor else {}
        found = [each for (each,) in connection.execute(sql["requests"], key).fetchall()]
        chosen = found[:limit]
        of = {"holder": account_id, "requests": uuids(chosen)}
        holds = cursor.execute(sql["holds"], of).fetchall()
        receipts = cursor.execute(sql["receipts"], of).fetchall()
        given = {"holds": uuids(hold["id"] for hold in holds)}
        refunded: dict[UUID, int] = dict(connection.execute(statements("money.sql")["refunded"], given).fetchall())
    after = chosen[-1] if len(found) > limit else floor[0] if floor else None
    data = rows(account_id, chosen, holds, receipts, refunded)
    return {"object": "list", "data": data, "next_after": after and str(after)}


def _bounds(connection: Connection, account_id: str, asked: RequestFilter) -> dict[str, UUID]:
    """Between which ids the requests lie: those of a run while it was open."""
    least = [id_at(asked.since)] if asked.since else []
    before = [id_at(asked.until)] if asked.until else []
    before += [asked.after] if asked.after else []
    if asked.run_id is not None:
        of = {"holder": account_id, "run": asked.run_id}
        run = connection.execute(statements("requests.sql")["run_times"], of).fetchone()
        opened, closed = run or (None, None)
        least.append(id_at(opened - SKEW) if opened else BEYOND)
        before += [id_at(closed + SKEW)] if closed else []
    return {"least": max(least, default=LEAST), "before": min(before, default=BEYOND)}
