"""What every request must have cost: from what the provider was asked, what the clients saw and what the topics say."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from schemas import topics
from tests.e2e.books import Topic
from tests.e2e.driver import amount
from tests.oracle import Charge, Oracle, Tokens
from tests.reliability.crash.clients import Asked
from tests.reliability.crash.http_wire import Tap
from tests.reliability.crash.load import Load

Event = dict[str, Any]
TERMINAL = frozenset({"CAPTURED", "RELEASED", "EXPIRED", "REFUSED"})


@dataclass
class Outcome:
    """How many requests ended how."""

    counts: Counter[str] = field(default_factory=Counter)
    paid: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))


class Reckoning:
    """Checks each request's story, and adds up what it must have cost. Any contradiction is an AssertionError."""

    def __init__(self, load: Load, tap: Tap, found: dict[str, Topic], holds: dict[str, list[dict[str, Any]]]) -> None:
        self._load = load
        self._tap = tap
        self._holds = holds
        self._oracle = Oracle()
        self._completed = _by_request(found[topics.ATTEMPTS], "RequestCompleted")
        ledger = found[topics.LEDGER]
        self._captured, self._expired, self._late = (_by_hold(ledger, kind) for kind in ("Captured", "Expired", "LateUsage"))
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """All requests."""
        for asked in self._load.asked:
            holds = self._holds[asked.probe]
            assert all(hold["state"] in TERMINAL for hold in holds), holds
            placed = [hold for hold in holds if hold["state"] != "REFUSED"]
            assert len({hold["bucket"] for hold in placed}) == len(placed), f"two holds in one bucket: {placed}"
            # No byte to the provider without a committed hold.
            assert placed or not self._tap.calls[asked.probe], asked
            for hold in placed:
                if hold["state"] == "EXPIRED":
                    self._pay_expired(asked, hold)
            self._end(asked, placed)
        return self.outcome

    def _end(self, asked: Asked, placed: list[dict[str, Any]]) -> None:
        completed = self._completed.get(placed[0]["request_id"]) if placed else None
        if completed is None:
            assert not asked.whole, f"the client has an answer that no record knows: {asked}"
            assert all(hold["state"] == "EXPIRED" for hold in placed), placed
            self.outcome.counts["expired into a case" if placed else f"not begun: {asked.refusal or 'cut off'}"] += 1
            return
        data = completed["data"]
        assert self._tap.calls[asked.probe] == len(data["attempts"]), completed
        charge = self._charge(asked, completed)
        if asked.whole:
            assert charge is not None
            assert asked.quoted == charge.amount
        if charge is None:
            self.outcome.counts["failed, nothing charged"] += 1
        else:
            self._pay(asked, completed, charge)

    def _charge(self, asked: Asked, completed: Event) -> Charge | None:
        """What the charged attempt costs by the provider's own count, where it reported one."""
        data = completed["data"]
        if data["charged_attempt"] is None:
            return None
        [attempt] = [each for each in data["attempts"] if each["attempt"] == data["charged_attempt"]]
        usage = attempt["usage"]
        tokens = Tokens(prompt=usage["input_tokens"], output=usage["output_tokens"])
        if attempt["usage_source"] == "reported":
            assert tokens == asked.tokens, completed
        else:
            assert tokens.output <= asked.size.output, completed
        return self._oracle.charge(attempt["route_type"], attempt["upstream_model"], tokens)

    def _pay(self, asked: Asked, completed: Event, charge: Charge) -> None:
        """From the customer's bucket; or to write-off, where the hold had expired before."""
        data = completed["data"]
        [hold_id] = [each["hold_id"] for each in data["attempts"] if each["attempt"] == data["charged_attempt"]]
        if hold_id in self._expired:
            assert not asked.whole
            owed = max(charge.amount - amount(self._expired[hold_id]["data"]["charged_nano"]), Decimal(0))
            assert amount(self._late[hold_id]["data"]["amount_nano"]) == owed
            self.outcome.counts["late, written off"] += 1
            return
        captured = self._captured[hold_id]["data"]
        assert (amount(captured["captured_nano"]), captured["overrun_nano"]) == (charge.amount, 0), captured
        self.outcome.paid[asked.customer.account_id, charge.bucket] += charge.amount
        self.outcome.counts["settled, answered" if asked.whole else "settled, client without its end"] += 1

    def _pay_expired(self, asked: Asked, hold: dict[str, Any]) -> None:
        """The last recorded progress at the cheapest candidate of the hold's own bucket."""
        seen = Tokens(prompt=hold["progress_input"], output=hold["progress_output"])
        charges = [self._oracle.charge(route, model, seen) for _, route, model in hold["candidates"]]
        cost = min(charge.amount for charge in charges if charge.bucket == hold["bucket"])
        cost = min(cost, amount(hold["amount_nano"]))
        assert seen.output <= asked.size.output
        assert amount(self._expired[hold["id"]]["data"]["charged_nano"]) == cost == amount(hold["captured_nano"])
        self.outcome.paid[asked.customer.account_id, hold["bucket"]] += cost


def _by_request(topic: Topic, kind: str) -> dict[str, Event]:
    """The events of one type by request: of each request there may be one."""
    events = [topic.events[event_id] for event_id in topic.ids_by_type[kind]]
    found = {event["request_id"]: event for event in events}
    assert len(found) == len(events), f"a request has two {kind}"
    return found


def _by_hold(topic: Topic, kind: str) -> dict[str, Event]:
    """The events of one type by hold: of each hold there may be one."""
    events = [topic.events[event_id] for event_id in topic.ids_by_type[kind]]
    found = {event["data"]["hold_id"]: event for event in events}
    assert len(found) == len(events), f"a hold has two {kind}"
    return found
