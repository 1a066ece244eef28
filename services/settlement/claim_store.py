"""Claims in Postgres: which one of several workers makes a request's upstream calls."""

import psycopg
from psycopg.rows import TupleRow

from schemas.calls import ClaimResult, HoldClaim
from services.settlement.arrays import texts, uuids
from services.settlement.statements import statements


def claim(connection: psycopg.Connection[TupleRow], claims: list[HoldClaim]) -> list[ClaimResult]:
    """Claim the requests of those holds that are open and that nobody has claimed. Returns whose each is now, in order."""
    sql = statements("claims.sql")
    # The first word about a hold counts when a batch names it twice.
    asked = {each.hold_id: each.claimant for each in reversed(claims)}
    ids = uuids(asked)
    with connection.transaction():
        connection.execute(sql["claim_requests"], {"ids": ids, "claimants": texts(asked.values())})
        # A statement of its own: it sees what another worker has committed while the first one waited.
        rows = connection.execute(sql["claims_of_holds"], {"ids": ids}).fetchall()
    found = {row[0]: ClaimResult(hold_id=row[0], state=row[1], claimant=row[2]) for row in rows}
    return [found.get(each.hold_id) or ClaimResult(hold_id=each.hold_id, state="UNKNOWN") for each in claims]
