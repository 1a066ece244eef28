"""Signs of life of running streams: a later deadline, and how much the client has seen."""

from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas.calls import ProgressBatch
from services.settlement.arrays import plain, texts, uuids
from services.settlement.statements import statement


def renew(connection: psycopg.Connection[TupleRow], batch: ProgressBatch) -> list[UUID]:
    """Renew the open holds of the batch. Returns those that are no longer open, or never were."""
    # The last word about a hold counts when a batch names it twice.
    latest = {progress.hold_id: progress for progress in batch.holds}.values()
    rows = connection.execute(
        statement("renew_holds"),
        {
            "ids": uuids(each.hold_id for each in latest),
            "deadlines": texts(each.deadline_at.isoformat() for each in latest),
            "inputs": plain(each.input_tokens for each in latest),
            "outputs": plain(each.output_tokens for each in latest),
        },
    ).fetchall()
    return [row[0] for row in rows]
