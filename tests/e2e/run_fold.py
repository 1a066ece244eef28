"""What the account of a run must say, folded a second time: from the receipts of its requests, priced anew by the oracle."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.oracle import Oracle, Tokens

Receipt = dict[str, Any]
CLASSES = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


@dataclass
class Fold:
    """Sums over receipts. Charges by (model, route type, bucket, currency), amounts as exact decimals."""

    requests: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    charges: dict[tuple[str, str, str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    burned: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    would_have_cost: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    charged_failures: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def charged(self, *positions: int) -> dict[tuple[str, ...], Decimal]:
        """The charges summed under some of their names."""
        sums: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for names, amount in self.charges.items():
            sums[tuple(names[each] for each in positions)] += amount
        return dict(sums)


def fold(receipts: Iterable[Receipt], oracle: Oracle) -> Fold:
    """The sums of these receipts."""
    sums = Fold()
    for receipt in receipts:
        sums.requests += 1
        _count(sums, receipt)
        for attempt in receipt["attempts"]:
            _attempt(sums, attempt, oracle)
    return sums


def tokens_of(usage: dict[str, int]) -> Tokens:
    """What was counted, as the oracle takes it."""
    cached = usage["cached_input_tokens"]
    assert usage["cache_write_tokens"] == 0
    return Tokens(prompt=usage["input_tokens"] + cached, output=usage["output_tokens"], cached=cached)


def _count(sums: Fold, receipt: Receipt) -> None:
    attempts, fallbacks = receipt["attempts"], receipt["fallbacks"]
    answered = any(each["outcome"] == "succeeded" for each in attempts)
    sums.moves["answered"] += answered
    sums.moves["refused"] += receipt["status"] == "refused"
    sums.moves["failed"] += not answered and receipt["status"] != "refused"
    sums.moves["attempts"] += len(attempts)
    places = [(each["channel"], each["upstream_model"]) for each in attempts]
    sums.moves["retries"] += sum(one == other for one, other in pairwise(places))
    sums.moves["fallbacks"] += len(fallbacks)
    sums.moves["crossed_buckets"] += sum(each["crossed_bucket"] for each in fallbacks)


def _attempt(sums: Fold, attempt: dict[str, Any], oracle: Oracle) -> None:
    cost = oracle.charge(attempt["route_type"], attempt["upstream_model"], tokens_of(attempt["usage"]))
    sums.attempts[attempt["upstream_model"], attempt["route_type"]] += 1
    failed = attempt["outcome"] != "succeeded"
    if attempt["charged"]:
        sums.charges[attempt["upstream_model"], attempt["route_type"], cost.bucket, cost.currency] += cost.amount
        sums.tokens.update({name: attempt["usage"][name] for name in CLASSES})
    if not failed:
        return
    sums.reasons[attempt["error_class"]] += 1
    if attempt["charged"]:
        sums.charged_failures[cost.currency] += cost.amount
    else:
        sums.burned.update({name: attempt["usage"][name] for name in CLASSES})
        sums.would_have_cost[cost.currency] += cost.amount
