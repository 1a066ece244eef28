"""What RequestCompleted does, by the words of LEDGER.md: once per request, whatever comes how often and in which order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.attempts import Attempt, RequestCompleted
from schemas.money import charge_nano
from tests.property.settlement.books import BUCKETS
from tests.property.settlement.model.account import Account
from tests.property.settlement.model.values import ModelHold, ModelReceipt


@dataclass(frozen=True, eq=False)
class Delivery:
    """A record of the topic: its bytes, and the event where they are one."""

    payload: bytes
    event: RequestCompleted | None


class Settling:
    """Takes deliveries and remembers which events it has seen, as the inbox does."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._seen: dict[UUID, bytes] = {}
        self._letters: list[Delivery] = []

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Settle one batch: how records are cut into batches makes no difference."""
        for delivery in batch:
            if self._take(delivery) is None:
                self._account.dead_letters += 1
                self._letters.append(delivery)

    def redrive(self, limit: int) -> dict[str, int]:
        """Read the oldest dead letters again. How many came to what."""
        outcomes: Counter[str] = Counter()
        for delivery in self._letters[:limit]:
            outcome = self._take(delivery)
            if outcome is not None:
                self._letters.remove(delivery)
            outcomes[outcome or "still_poison"] += 1
        return dict(outcomes)

    def _take(self, delivery: Delivery) -> str | None:
        """What a record comes to; None for one that is to be set aside."""
        event = delivery.event
        if event is None:
            return None
        seen = self._seen.get(event.event_id)
        if seen is not None:
            self._account.cases["payload_mismatch"] += seen != delivery.payload
            return "payload_mismatch" if seen != delivery.payload else "repeat"
        if not self._settle(event):
            return None
        self._seen[event.event_id] = delivery.payload
        return "second_completion"

    def _settle(self, event: RequestCompleted) -> bool:
        """False for an event that contradicts itself or its price book."""
        account = self._account
        assert event.request_id is not None
        if event.request_id in account.receipts:
            account.cases["second_completion"] += 1
            return True
        attempt, hold = self._charged(event)
        if event.data.charged_attempt is not None and attempt is None:
            return False
        if attempt and hold is None:
            account.cases["unknown_hold"] += 1
        nano = self._price(attempt, hold) if attempt and hold else 0
        if nano is None:
            return False
        # What the request gives back may pay what it is charged above its hold.
        account.release(event, hold.request.hold_id if hold else None)
        account.receipts[event.request_id] = self._charge(hold, nano) if hold else ModelReceipt("released")
        for each in event.data.attempts:
            if each.operator_cost_nano and each.operator_cost_currency:
                account.book_debit("provider_cost", each.operator_cost_currency, each.operator_cost_nano)
                account.book_debit("provider_payable", each.operator_cost_currency, -each.operator_cost_nano)
        return True

    def _charged(self, event: RequestCompleted) -> tuple[Attempt | None, ModelHold | None]:
        found = [each for each in event.data.attempts if each.attempt == event.data.charged_attempt]
        if not found:
            return None, None
        hold = self._account.holds.get(found[0].hold_id)
        return found[0], hold if hold and hold.request.request_id == event.request_id else None

    def _price(self, attempt: Attempt, hold: ModelHold) -> int | None:
        """Under the hold's own price version; None for what that does not price, or another bucket pays."""
        prices = self._account.books[hold.version - 1].prices.get((attempt.route_type, attempt.upstream_model))
        if prices is None or BUCKETS[attempt.route_type] != (hold.bucket, hold.currency):
            return None
        return charge_nano(prices, attempt.usage)

    def _charge(self, hold: ModelHold, nano: int) -> ModelReceipt:
        account = self._account
        if hold.state == "HELD":
            account.charge(hold, nano)
            return ModelReceipt("settled", nano, hold.overrun_nano)
        if hold.state == "EXPIRED":
            late = max(nano - hold.captured_nano, 0)
            account.book_debit("write_off", hold.currency, late)
            account.book_debit("revenue", hold.currency, -late)
            return ModelReceipt("expired", written_off_nano=late)
        account.cases["usage_after_end"] += 1
        return ModelReceipt("released")
