"""`python -m services.settlement.check`: prove the ledger on a live database.

Exit code 1 if an invariant is violated, 2 without settings, 3 if no violation was found but the seal could not be compared
with the topic.
"""

import asyncio
import sys

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from services.settlement.checkpoint_file import read_checkpoints
from services.settlement.checkpoint_topic import published_checkpoints
from services.settlement.database import configure_json, connect
from services.settlement.ledger_check import NEVER_S, SEAL, Finding, SealPromises, check
from services.settlement.seal_check import Published
from services.settlement.settings import Settings

CHECK_TIMEOUT_MS = 600_000
SLACK_S = 60.0
SEAL_PATIENCE_S = 60.0


def main() -> int:
    """Print each invariant and its verdict."""
    try:
        settings = Settings()
    except ValidationError as error:
        names = ", ".join(str(each["loc"][0]) for each in error.errors(include_url=False, include_input=False))
        print(
            f"set {names} to a usable value: DATABASE_URL names the Postgres database whose ledger is proven", file=sys.stderr
        )
        return 2
    configure_json()
    seal = seal_promises(settings)
    connection = connect(settings.database_url, statement_timeout_ms=CHECK_TIMEOUT_MS, name="settlement-check", analytic=True)
    try:
        findings = check(connection, patience_s=settings.hold_grace_seconds + SLACK_S, seal=seal)
    finally:
        connection.close()
    for finding in findings:
        print(told(finding, seal))
    if not all(finding.ok for finding in findings):
        return 1
    return 0 if seal.all_read else 3


def told(finding: Finding, seal: SealPromises) -> str:
    """The line about an invariant. A seal that was compared with itself alone is not said to hold."""
    if finding.name == SEAL and finding.ok and not seal.all_read:
        return f"{finding.name:4} {finding.rule}: not compared"
    return str(finding)


def seal_promises(settings: Settings) -> SealPromises:
    """What the ledger is compared with: the checkpoints of the file and of the topic. Raises BrokenSealError, OSError.

    Where there is no signing key nothing is sealed, and that is no violation.
    """
    keys = settings.public_keys()
    outside: list[Published] = []
    all_read = True
    if settings.checkpoint_file:
        outside += [Published("file", size, note) for size, note in read_checkpoints(settings.checkpoint_file)]
    try:
        outside += asyncio.run(published_checkpoints(settings.kafka_bootstrap_servers))
    except (KafkaError, OSError) as error:
        all_read = False
        print(f"{SEAL}  not compared with the topic: Kafka does not answer ({type(error).__name__})", file=sys.stderr)
    return SealPromises(patience_s=SEAL_PATIENCE_S if keys else NEVER_S, outside=outside, keys=keys or None, all_read=all_read)


if __name__ == "__main__":
    sys.exit(main())
