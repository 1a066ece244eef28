"""`python -m services.settlement.check`: prove the ledger on a live database. Exit code 1 if an invariant is violated."""

import asyncio
import sys

from aiokafka.errors import KafkaError

from services.settlement.checkpoint_file import read_checkpoints
from services.settlement.checkpoint_topic import published_checkpoints
from services.settlement.database import configure_json, connect
from services.settlement.ledger_check import NEVER_S, SealPromises, check
from services.settlement.seal_check import Published
from services.settlement.settings import Settings

CHECK_TIMEOUT_MS = 600_000
SLACK_S = 60.0
SEAL_PATIENCE_S = 60.0


def main() -> int:
    """Print each invariant and its verdict."""
    settings = Settings()
    configure_json()
    seal = seal_promises(settings)
    connection = connect(settings.database_url, statement_timeout_ms=CHECK_TIMEOUT_MS, name="settlement-check", analytic=True)
    try:
        findings = check(connection, patience_s=settings.hold_grace_seconds + SLACK_S, seal=seal)
    finally:
        connection.close()
    for finding in findings:
        print(finding)
    return 0 if all(finding.ok for finding in findings) else 1


def seal_promises(settings: Settings) -> SealPromises:
    """What the ledger is compared with: the checkpoints of the file and of the topic. Raises BrokenSealError, OSError.

    Where there is no signing key nothing is sealed, and that is no violation.
    """
    keys = settings.public_keys()
    outside: list[Published] = []
    if settings.checkpoint_file:
        outside += [Published("file", size, note) for size, note in read_checkpoints(settings.checkpoint_file)]
    try:
        outside += asyncio.run(published_checkpoints(settings.kafka_bootstrap_servers))
    except (KafkaError, OSError) as error:
        print(f"I11  not compared with the topic: Kafka does not answer ({type(error).__name__})", file=sys.stderr)
    return SealPromises(patience_s=SEAL_PATIENCE_S if keys else NEVER_S, outside=outside, keys=keys or None)


if __name__ == "__main__":
    sys.exit(main())
