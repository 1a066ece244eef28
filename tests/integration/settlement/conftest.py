"""A ledger per test, on the session's Postgres."""

from collections.abc import Iterator

import pytest

from tests.integration.settlement.ledger import Ledger, running_ledger


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An empty ledger with the catalog's price book in force."""
    with running_ledger(database_url) as running:
        yield running


@pytest.fixture
def funded(ledger: Ledger) -> Ledger:
    """A ledger in which account "a" has ten of each currency."""
    ledger.top_up("a", "credit", "10")
    ledger.top_up("a", "wallet", "10")
    return ledger
