"""`python -m services.settlement.audit ID`: does an audit that the API was asked for. The process's wiring."""

import asyncio
import os
import sys
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import structlog
from aiokafka.errors import KafkaError

from services.settlement.audit.audit_store import AuditLog, AuditOrder
from services.settlement.audit.auditor import Auditor
from services.settlement.audit.rebuild import RelayStuckError
from services.settlement.audit.topic_reader import SilentTopicError, topic_reader
from services.settlement.check import SLACK_S, seal_promises
from services.settlement.database import configure_json, connect
from services.settlement.errors import BrokenSealError
from services.settlement.logs import configure_logs
from services.settlement.settings import Settings

log = structlog.get_logger(__name__)
AUDIT_TIMEOUT_MS = 600_000
NICENESS = 10
"""What serves requests goes before what looks back."""


def main() -> int:
    """Do the audit. Returns the exit status: 0 when it has a result, right or wrong."""
    configure_logs()
    configure_json()
    os.nice(NICENESS)
    settings = Settings()
    with connect(settings.database_url, statement_timeout_ms=AUDIT_TIMEOUT_MS, name="settlement-audit/log") as told:
        audit = AuditLog(told, UUID(sys.argv[1]))
        order = audit.take()
        if order is None:
            log.error("audit_taken", audit_id=sys.argv[1])
            return 1
        try:
            audit.done(_run(settings, order, audit))
        except (psycopg.Error, KafkaError, SilentTopicError, RelayStuckError, BrokenSealError, OSError) as error:
            audit.failed(f"{type(error).__name__}: {error}")
            log.exception("audit_failed")
            return 1
        except Exception as error:
            audit.failed(f"defect: {type(error).__name__}: {error}")
            raise
    return 0


def _run(settings: Settings, order: AuditOrder, audit: AuditLog) -> dict[str, Any]:
    seal = seal_promises(settings)
    open_connection = partial(connect, settings.database_url, statement_timeout_ms=AUDIT_TIMEOUT_MS, analytic=True)
    with open_connection(name="settlement-audit") as connection, open_connection(name="settlement-audit/beside") as beside:
        auditor = Auditor(
            connection,
            beside,
            partial(topic_reader, settings.kafka_bootstrap_servers),
            patience_s=settings.hold_grace_seconds + SLACK_S,
            seal=seal,
            progress=audit.progress,
        )
        return asyncio.run(auditor.run(order))


if __name__ == "__main__":
    sys.exit(main())
