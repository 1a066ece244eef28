"""One ledger per module: each example works on an account of its own, or in a transaction that is rolled back."""

from collections.abc import Iterator

import pytest

from tests.integration.settlement.ledger import Ledger, running_ledger


@pytest.fixture(scope="module")
def shared_ledger(module_database_url: str) -> Iterator[Ledger]:
    """A ledger with the catalog's price book in force."""
    with running_ledger(module_database_url) as running:
        yield running
