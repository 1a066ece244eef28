"""Opens a case by itself, once: whatever finds the same trouble again finds its case open."""

import psycopg

from schemas import topics
from services.settlement import metrics, outgoing
from services.settlement.arrays import uuids
from services.settlement.correction_store import CaseTerms, Connection
from services.settlement.entries import Outbox, case_parameters
from services.settlement.settling import CaseDraft
from services.settlement.statements import statements


def open_once(connection: Connection, case: CaseDraft, terms: CaseTerms) -> bool:
    """Open the case with its event, unless there is one of its id. Returns whether it is new."""
    sql = statements("settle.sql")
    if connection.execute(sql["known_cases"], {"ids": uuids([case.id])}).fetchone() is not None:
        return False
    outbox = Outbox()
    outbox.add(topics.LEDGER, case.holder, "CaseOpened", case.id, outgoing.case_opened(case))
    owner = {"owner": terms.owner, "max_age_days": terms.max_age_days}
    try:
        with connection.transaction():
            connection.execute(sql["open_cases"], {**owner, **case_parameters([case])})
            connection.execute(sql["write_outbox"], outbox.parameters())
    except psycopg.errors.UniqueViolation:
        return False  # opened by somebody else between looking and writing
    metrics.CASES.labels(case.kind).inc()
    return True
