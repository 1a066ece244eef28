"""Accounts with money, holds placed for them, and the events that router would write about these."""

import random
from collections.abc import Sequence

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.money import Usage
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

HOLDS_PER_CALL = 128
OPERATOR_COST_NANO = 1_100_000


def accounts(ledger: Ledger, count: int, amount: str = "1000000") -> list[str]:
    """Accounts with credit."""
    names = [f"acc_{number:016d}" for number in range(count)]
    for name in names:
        ledger.top_up(name, "credit", amount)
    return names


def limit_three_ways(ledger: Ledger, account: str, amount: str = "1000000") -> None:
    """Limits of the account, of its project and of its key: three nested envelopes with windows of three kinds."""
    ledger.limit(account, "account", account, "month", amount)
    ledger.limit(account, "project", "project-1", "total", amount)
    ledger.limit(account, "key", "key-1", "day", amount)


def usual_hold(account: str) -> HoldRequest:
    """A hold as router asks for it: two candidates, two tags."""
    return hold_for(
        account,
        candidates=[candidate(), candidate(channel="openai-backup")],
        tags={"feature": "search", "customer": "acme"},
        environment="production",
    )


def placed(ledger: Ledger, holders: Sequence[str], count: int) -> list[HoldRequest]:
    """Granted holds, the accounts in turn."""
    requests = [usual_hold(holders[number % len(holders)]) for number in range(count)]
    for start in range(0, count, HOLDS_PER_CALL):
        answers = ledger.hold(*requests[start : start + HOLDS_PER_CALL])
        assert all(answer["status"] == "held" for answer in answers), answers[0]
    return requests


def usual_end(hold: HoldRequest, dice: random.Random) -> RequestCompleted:
    """One successful attempt that is charged, with what it cost the operator; one in twenty failed and is not charged."""
    usage = Usage(input_tokens=dice.randint(1, 500), output_tokens=dice.randint(1, 100))
    if dice.random() < 0.05:
        failed = attempt_on(hold, outcome="failed", error_class="timeout", usage=Usage())
        return completion(hold, charged=None, attempts=[failed])
    paid = attempt_on(hold, usage=usage, operator_cost_nano=OPERATOR_COST_NANO, operator_cost_currency="USD")
    return completion(hold, attempts=[paid])
