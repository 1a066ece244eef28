"""Charges of a made-up week, event by event, whose effects are simple enough to be computed by hand."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from schemas import ledger, requests
from schemas.envelope import Event, new_id
from schemas.money import Prices, Usage, charge_nano

PRICES = {
    1: {
        ("direct", "small"): Prices.parse("1", "2"),
        ("direct", "large"): Prices.parse("10", "20", "1"),
        ("pooled", "small"): Prices.parse("7", "14"),
    },
    2: {
        ("direct", "small"): Prices.parse("1.5", "3"),
        ("direct", "large"): Prices.parse("10", "20", "1"),
        ("pooled", "small"): Prices.parse("7", "14"),
    },
}
"""Version → route type and model → prices per million tokens."""
BUCKETS = {"direct": ("credit", "USD"), "pooled": ("wallet", "CNY")}
KEYS = {
    "bot": requests.KeyRef(project_id="prj_a", key_id="key0000000001", key_name="bot"),
    "cron": requests.KeyRef(project_id="prj_b", key_id="key0000000002", key_name="cron"),
}


def price_book(version: int, at: datetime) -> Event:
    """The event that told the version's prices."""
    items = [
        ledger.PriceItem(route_type=route_type, model=model, currency=BUCKETS[route_type][1], prices=prices)
        for (route_type, model), prices in PRICES[version].items()
    ]
    data = ledger.PriceBookPublishedData(version=version, sha256=f"{version:064x}", items=items)
    return ledger.PriceBookPublished(occurred_at=at, account_id=ledger.OPERATOR, data=data)


class Week:
    """Charges from an instant on, each some minutes after the one before."""

    def __init__(self, begin: datetime, *, step: timedelta = timedelta(minutes=7), account_id: str = "acc_0") -> None:
        self._instants = (begin + step * number for number in count())
        self._account_id = account_id
        self.events: list[Event] = []

    def charge(
        self,
        times: int,
        usage: Usage,
        model: str = "small",
        *,
        served: tuple[str, str] | None = None,
        version: int = 1,
        key: str = "bot",
        beside: Usage | None = None,
        known: bool = True,
        run: str | None = None,
    ) -> None:
        """As many requests of one size; `served` is what answered, `beside` a charged failed attempt on the planned route."""
        planned = ("direct", model)
        answered = served or planned
        bucket, currency = BUCKETS[answered[0]]
        extra = charge_nano(PRICES[version][planned], beside) if beside else 0
        cost = charge_nano(PRICES[version][answered], usage) + extra
        move = ledger.BalanceMove(
            bucket=bucket, currency=currency, before_nano=10**15, after_nano=10**15 - cost, held_after_nano=0
        )
        data: dict[str, Any] = {
            "key": KEYS[key],
            "requested_model": model,
            "channel": f"{answered[0]}-main",
            "route_type": answered[0],
            "upstream_model": answered[1],
            "usage": usage,
            "price_version": version,
            "hold_nano": cost,
            "captured_nano": cost,
            "released_nano": 0,
            "balance": move,
        }
        if known:
            data |= {
                "planned": ledger.PlannedRoute(route_type=planned[0], upstream_model=planned[1]),
                "beside_nano": extra,
            }
        for _ in range(times):
            captured = ledger.CapturedData(hold_id=new_id(), txn_id=new_id(), **data)
            self._tell(ledger.Captured(occurred_at=next(self._instants), data=captured, **self._envelope(run)))

    def lose(self, charged_nano: int, key: str = "bot") -> None:
        """A hold that expired, charged for what was seen of it."""
        data = ledger.ExpiredData(
            hold_id=new_id(),
            key=KEYS[key],
            bucket="credit",
            currency="USD",
            charged_nano=charged_nano,
            exposure_nano=0,
            case_id=new_id(),
        )
        self._tell(ledger.Expired(occurred_at=next(self._instants), data=data, **self._envelope(None)))

    def _tell(self, event: Event) -> None:
        self.events.append(event)

    def _envelope(self, run: str | None) -> dict[str, Any]:
        return {"request_id": new_id(), "account_id": self._account_id, "run_id": run, "environment": "production"}


def cost_of(events: Sequence[Event], currency: str = "USD") -> int:
    """What the events charged."""
    spent = 0
    for event in events:
        if isinstance(event, ledger.Captured) and event.data.balance.currency == currency:
            spent += event.data.captured_nano + event.data.overrun_nano
        elif isinstance(event, ledger.Expired) and event.data.currency == currency:
            spent += event.data.charged_nano
    return spent
