"""A short run of the bank test, and that its reader sees what is wrong."""

import pytest

from schemas.envelope import now
from services.settlement.database import connect
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import completion, hold_for
from tests.reliability.bank import prove
from tests.reliability.bank_snapshots import TIMEOUT_MS, Snapshots
from tests.reliability.progress import Progress

ATTEMPTS = 2_000


def test_sixty_four_clients_on_one_wallet_never_overspend_it(database_url: str) -> None:
    report = prove(database_url, ATTEMPTS, progress=Progress("bank", ATTEMPTS, quiet=True))
    assert report.violations == []
    assert sum(report.outcomes.values()) == ATTEMPTS
    assert report.snapshots > 1
    assert min(report.done[what] for what in ("held", "refused", "ends settled", "expired", "payments", "limit changes")) > 0


@pytest.mark.parametrize(
    "tampering",
    [
        "update bucket_balance set held = held + 1",
        "update bucket_balance set posted = posted + 1",
        "update bucket_balance set overrun = 1",
        "update envelope_window set held = held - 1",
        "update envelope_window set spent = 1000000000, limit_at_last_hold = 5",
        "update envelope set limit_nano = 1",
        "delete from hold where state = 'HELD'",
    ],
)
def test_a_snapshot_shows_every_amount_that_is_not_what_it_should_be(database_url: str, tampering: str) -> None:
    with running_ledger(database_url) as ledger:
        began(ledger)
        snapshots = Snapshots(began=now())
        ended, open_ = hold_for("a"), hold_for("a")
        ledger.hold(ended, open_)
        ledger.complete(completion(ended))
        with connect(database_url, statement_timeout_ms=TIMEOUT_MS, analytic=True) as connection:
            snapshots.take(connection)
            assert snapshots.violations == []
            ledger.as_owner(tampering)
            snapshots.take(connection)
        assert snapshots.violations != []


def began(ledger: Ledger) -> None:
    """A wallet with money and a limit, before any hold."""
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", "key", "key-1", "day", "5")
