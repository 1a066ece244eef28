"""What was charged beyond a bucket is a debt, and only money that is posted to the bucket pays it."""

from collections.abc import Iterator

import pytest

from schemas.money import Usage
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

HOLD_NANO = 2_250_000
MORE = Usage(input_tokens=374, output_tokens=400)
OWED_NANO = 2_685_000


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An account with exactly what two holds take, the first of which was charged beyond it."""
    with running_ledger(database_url) as running:
        running.top_up("a", "credit", "0.0045")
        yield running
        running.assert_sound()


def owed(ledger: Ledger) -> int:
    """The debt of the bucket."""
    return int(ledger.rows("select overrun from bucket_balance where holder = 'a'")[0]["overrun"])


def test_what_comes_free_pays_no_debt_by_itself_and_what_is_posted_does(ledger: Ledger) -> None:
    charged, released = hold_for("a"), hold_for("a")
    ledger.hold(charged, released)
    ledger.complete(completion(charged, attempts=[attempt_on(charged, usage=MORE)]))
    assert (ledger.balance("a"), owed(ledger)) == ((HOLD_NANO, HOLD_NANO), OWED_NANO)
    failed = attempt_on(released, outcome="failed", error_class="timeout", usage=Usage())
    ledger.complete(completion(released, charged=None, attempts=[failed]))
    assert (ledger.balance("a"), owed(ledger)) == ((HOLD_NANO, 0), OWED_NANO)
    refusal = ledger.hold(hold_for("a", max_output_tokens=1))[0]
    assert (refusal["code"], refusal["left_nano"]) == ("insufficient_balance", -OWED_NANO)
    ledger.adjust("a", "credit", "-0.00225")
    ledger.adjust("a", "credit", "0.00225")
    assert (ledger.balance("a"), owed(ledger)) == ((0, 0), OWED_NANO - HOLD_NANO)
    ledger.top_up("a", "credit", "1")
    assert (ledger.balance("a"), owed(ledger)) == ((10**9 - OWED_NANO + HOLD_NANO, 0), 0)
    ledger.held(hold_for("a"))
