"""`python -m services.settlement.check`: prove the ledger on a live database. Exit code 1 if an invariant is violated."""

import sys

from services.settlement.database import connect
from services.settlement.ledger_check import check
from services.settlement.settings import Settings

CHECK_TIMEOUT_MS = 600_000
SLACK_S = 60.0


def main() -> int:
    """Print each invariant and its verdict."""
    settings = Settings()
    connection = connect(settings.database_url, statement_timeout_ms=CHECK_TIMEOUT_MS, name="settlement-check", analytic=True)
    try:
        findings = check(connection, patience_s=settings.hold_grace_seconds + SLACK_S)
    finally:
        connection.close()
    for finding in findings:
        print(finding)
    return 0 if all(finding.ok for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
