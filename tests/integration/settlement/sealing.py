"""Seals a test's ledger and checks I11, with the checkpoints that were published kept beside the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.notes import SigningKey
from services.settlement.database import connect
from services.settlement.ledger_check import SealPromises
from services.settlement.seal_check import Published, Violation, check_seal
from services.settlement.seal_store import SealStore
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger

KEY = SigningKey("5e" * 32)
KEYS = {KEY.public.id: KEY.public}


@contextmanager
def sealing(ledger: Ledger) -> Iterator[SealStore]:
    """A sealer's store over a connection of its own."""
    with connect(ledger.url, statement_timeout_ms=TIMEOUT_MS, name="test-seal") as connection:
        yield SealStore(connection, KEY)


def seal_all(ledger: Ledger, batch: int = 500) -> list[Published]:
    """Seal everything that waits. Returns every checkpoint so far, as it would be kept outside."""
    with sealing(ledger) as store:
        while store.seal(batch, sign=False).more:
            pass
        return [Published("file", size, note) for size, note in store.checkpoints_after(0)]


def violations(
    ledger: Ledger, outside: list[Published] | None = None, *, patience_s: float = 0.0, since: int = 0
) -> list[Violation]:
    """What I11 finds."""
    with connect(ledger.url, statement_timeout_ms=TIMEOUT_MS, analytic=True) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        return check_seal(connection, patience_s=patience_s, outside=outside or [], keys=KEYS, since=since)


def promises(outside: list[Published]) -> SealPromises:
    """For a check of the whole ledger."""
    return SealPromises(patience_s=0, outside=outside, keys=KEYS)
