"""The books of some customers against an oracle that shares no code with Tollbook: every charge, every balance, every hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
import psycopg

from tests.oracle import Oracle, Tokens
from tests.reliability.faults.world import FUNDS, Seen

UNIT = Decimal(10) ** 9
RECEIPTS = (
    "select request_id::text, status, charge_nano, overrun_nano, completed from settlement.receipt where holder = any(%s)"
)
HOLDS = (
    "select request_id::text, state, amount_nano, captured_nano from settlement.hold where holder = any(%s) and refusal is null"
)
BALANCES = "select holder, bucket, posted, held, overrun from settlement.bucket_balance where holder = any(%s)"
MOST_WRONG = 20


@dataclass(slots=True)
class Reckoning:
    """What was found; `wrong` is empty where everything holds."""

    receipts: int = 0
    charged: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    exposed: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def say(self, what: str) -> None:
        """Something does not hold."""
        if len(self.wrong) < MOST_WRONG:
            self.wrong.append(what)


def reckon(dsn: str, accounts: Sequence[str], seen: Sequence[Seen]) -> Reckoning:
    """Compare what clients saw and what the ledger says with what each request must cost."""
    found = Reckoning()
    charges: Counter[tuple[str, str]] = Counter()
    with psycopg.connect(dsn) as connection:
        receipts = {row[0]: row[1:] for row in connection.execute(RECEIPTS, [list(accounts)]).fetchall()}
        holds = connection.execute(HOLDS, [list(accounts)]).fetchall()
        balances = connection.execute(BALANCES, [list(accounts)]).fetchall()
    oracle = Oracle()
    for request_id, row in receipts.items():
        _receipt(found, oracle, request_id, row, charges)
    _holds(found, holds, receipts)
    _clients(found, seen, receipts)
    for holder, bucket, posted, held, overrun in balances:
        left = int(Decimal(FUNDS[bucket]) * UNIT) - charges[holder, bucket]
        if (posted - overrun, held) != (left, 0):
            found.say(f"bucket {bucket} of {holder} has {posted} ({held} held, {overrun} owed) and should have {left}")
    return found


def _receipt(found: Reckoning, oracle: Oracle, request_id: str, row: Any, charges: Counter[tuple[str, str]]) -> None:
    status, charge_nano, overrun_nano, completed = row
    event = orjson.loads(completed)
    data = event["data"]
    found.receipts += 1
    found.attempts += len(data["attempts"])
    failed = [each for each in data["attempts"] if each["outcome"] != "succeeded"]
    found.failed_attempts += len(failed)
    found.exposed += sum(each["exposure"] is not None for each in failed)
    found.classes.update(each["error_class"] for each in failed)
    paid = next((each for each in data["attempts"] if each["attempt"] == data["charged_attempt"]), None)
    if (status == "settled") != (paid is not None) or charge_nano < 0 or overrun_nano < 0:
        found.say(f"{request_id} is {status} with a charge of {charge_nano} for attempt {data['charged_attempt']}")
    if data["outcome"] == "succeeded" and paid is None:
        found.say(f"{request_id} was answered and nothing was charged")
    if paid is None:
        return
    expected = oracle.charge(paid["route_type"], paid["upstream_model"], tokens_of(paid["usage"]))
    if int(expected.amount * UNIT) != charge_nano:
        found.say(f"{request_id} was charged {charge_nano} and costs {expected.amount}")
    found.charged += 1
    charges[event["account_id"], expected.bucket] += charge_nano


def tokens_of(usage: dict[str, int]) -> Tokens:
    """The usage of an event as the oracle takes it."""
    cached, written = usage["cached_input_tokens"], usage["cache_write_tokens"]
    return Tokens(
        prompt=usage["input_tokens"] + cached + written, output=usage["output_tokens"], cached=cached, written=written
    )


def _holds(found: Reckoning, holds: Sequence[Any], receipts: dict[str, Any]) -> None:
    for request_id, state, amount_nano, captured_nano in holds:
        if state == "HELD" or request_id not in receipts:
            found.say(f"a hold of {request_id} was lost: {state}, with {'a' if request_id in receipts else 'no'} receipt")
        if not 0 <= captured_nano <= amount_nano:
            found.say(f"a hold of {request_id} over {amount_nano} was captured for {captured_nano}")


def _clients(found: Reckoning, seen: Sequence[Seen], receipts: dict[str, Any]) -> None:
    for each in seen:
        if each.complete and each.request_id not in receipts:
            found.say(f"{each.request_id} was answered and has no receipt")
        if each.complete and each.request_id in receipts and receipts[each.request_id][0] != "settled":
            found.say(f"{each.request_id} was answered whole and is {receipts[each.request_id][0]}")
