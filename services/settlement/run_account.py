"""The account of a run: what its requests did, what each cost, what failures burned, in which order. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from schemas.money import Usage, charge_nano, format_amount
from services.settlement.pricebook import PriceBook
from services.settlement.refusals import stored, utc_text

BookOf = Callable[[int], PriceBook | None]
Row = dict[str, Any]
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Sums:
    """What was added up under one name."""

    requests: int = 0
    attempts: int = 0
    charge_nano: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))

    def add_tokens(self, usage: Row) -> None:
        """Add an attempt's usage."""
        for name in TOKENS:
            self.tokens[name] += usage.get(name, 0)


@dataclass(slots=True)
class Request:
    """One request of the run: its holds, and its settlement where there is one."""

    holds: list[Row]
    settled: Row | None
    data: Row | None

    @property
    def status(self) -> str:
        """pending, settled, released, expired or refused: as on its receipt."""
        if self.settled is not None:
            return str(self.settled["status"])
        states = {hold["state"] for hold in self.holds}
        if "HELD" in states:
            return "pending"
        return "expired" if "EXPIRED" in states else "refused"

    @property
    def attempts(self) -> list[Row]:
        """Its upstream calls."""
        return self.data["attempts"] if self.data else []

    @property
    def paid(self) -> set[int]:
        """The numbers of the attempts that the customer pays for."""
        return {self.data["charged_attempt"], *self.data.get("also_charged", ())} - {None} if self.data else set()

    @property
    def paying_hold(self) -> Row | None:
        """The hold that the charge came from."""
        if self.settled is not None and self.settled["charged_hold"] is not None:
            return next((hold for hold in self.holds if hold["id"] == self.settled["charged_hold"]), None)
        return next((hold for hold in self.holds if hold["state"] == "EXPIRED"), None)

    @property
    def charge_nano(self) -> int:
        """What the customer paid for it, in the paying hold's currency."""
        if self.settled is not None and self.settled["status"] == "settled":
            return int(self.settled["charge_nano"])
        return int(self.paying_hold["captured_nano"]) if self.paying_hold else 0

    @property
    def retries(self) -> int:
        """Calls that asked the same place once more."""
        return sum(_place(one) == _place(other) for one, other in zip(self.attempts, self.attempts[1:], strict=False))


class RunAccount:
    """Folds the requests of a run into its totals."""

    def __init__(self, book_of: BookOf) -> None:
        self._book_of = book_of
        self._count = dict.fromkeys(("requests", "answered", "failed", "refused", "pending", "expired"), 0)
        self._moves = dict.fromkeys(("attempts", "retries", "fallbacks", "crossed_buckets"), 0)
        self._tokens = Sums()
        self._by: dict[str, dict[tuple[str, ...], Sums]] = {"model": {}, "route": {}, "bucket": {}}
        self._burned = Sums()
        self._reasons: dict[str, int] = {}
        self._wasted: dict[str, int] = {}
        self._charged_failures: dict[str, int] = {}
        self.timeline: list[Row] = []

    def add(self, request: Request) -> None:
        """Count one request."""
        self._count["requests"] += 1
        succeeded = request.data is not None and request.data["outcome"] == "succeeded"
        self._count["answered"] += succeeded
        status = request.status
        self._count["failed"] += status in {"settled", "released"} and not succeeded
        for name in ("refused", "pending", "expired"):
            self._count[name] += status == name
        self._moves["attempts"] += len(request.attempts)
        self._moves["retries"] += request.retries
        fallbacks = request.data["fallbacks"] if request.data else []
        self._moves["fallbacks"] += len(fallbacks)
        self._moves["crossed_buckets"] += sum(bool(each.get("crossed_bucket")) for each in fallbacks)
        self._charge(request)
        self._failures(request)
        self.timeline.append(_entry(request))

    def as_dict(self) -> Row:
        """`totals` and `failures`, as `docs/contracts.md` says."""
        totals = {**self._count, **self._moves, "tokens": self._tokens.tokens}
        totals["by_model"] = _listed(self._by["model"], ("model", "route_type", "bucket", "currency"))
        totals["by_route"] = _listed(self._by["route"], ("route_type", "bucket", "currency"))
        totals["by_bucket"] = _listed(self._by["bucket"], ("bucket", "currency"))
        failures = {
            "attempts": self._burned.attempts,
            "tokens": self._burned.tokens,
            "by_reason": [{"reason": name, "attempts": count} for name, count in sorted(self._reasons.items())],
            "would_have_cost": _amounts(self._wasted),
            "charged": _amounts(self._charged_failures),
        }
        return {"totals": totals, "failures": failures}

    def _charge(self, request: Request) -> None:
        """Every attempt under its own model and route; the charge under those of the attempt that is paid."""
        currencies = {hold["id"]: (hold["bucket"], hold["currency"]) for hold in request.holds}
        charged = request.data["charged_attempt"] if request.data else None
        beside = self._beside(request)
        for attempt in request.attempts:
            bucket, currency = currencies.get(UUID(attempt["hold_id"]), ("", ""))
            keys = {
                "model": (attempt["upstream_model"], attempt["route_type"], bucket, currency),
                "route": (attempt["route_type"], bucket, currency),
                "bucket": (bucket, currency),
            }
            paid = attempt["attempt"] in request.paid and request.status == "settled"
            for name, key in keys.items():
                sums = self._by[name].setdefault(key, Sums())
                sums.attempts += 1
                if paid:
                    main = attempt["attempt"] == charged
                    rest = request.charge_nano - sum(beside.values())
                    sums.requests += main
                    sums.charge_nano += rest if main else beside[attempt["attempt"]]
                    sums.add_tokens(attempt["usage"])
            if paid:
                self._tokens.add_tokens(attempt["usage"])
        hold = request.paying_hold
        if request.status == "expired" and hold is not None:
            self._expired(request, hold)

    def _expired(self, request: Request, hold: Row) -> None:
        """Charged without a record of its attempts: which model answered is not known, the route is the hold's."""
        _, route_type, model = hold["detail"]["candidates"][0]
        bucket, currency = hold["bucket"], hold["currency"]
        keys = {"model": (model, route_type, bucket, currency), "route": (route_type, bucket, currency)}
        for name, key in {**keys, "bucket": (bucket, currency)}.items():
            sums = self._by[name].setdefault(key, Sums())
            sums.requests += 1
            sums.charge_nano += request.charge_nano

    def _beside(self, request: Request) -> dict[int, int]:
        """The price of each failed attempt that is charged beside the one that the request is charged for."""
        charged, hold = (request.data or {}).get("charged_attempt"), request.paying_hold
        paid = [each for each in request.attempts if each["attempt"] in request.paid and each["attempt"] != charged]
        return {each["attempt"]: (self._price(each, hold["price_version"] if hold else None) or ("", 0))[1] for each in paid}

    def _failures(self, request: Request) -> None:
        versions = {hold["id"]: hold["price_version"] for hold in request.holds}
        beside = self._beside(request)
        charged = request.data["charged_attempt"] if request.data else None
        for attempt in request.attempts:
            if attempt["outcome"] == "succeeded":
                continue
            self._burned.attempts += 1
            reason = attempt["error_class"] or "unknown"
            self._reasons[reason] = self._reasons.get(reason, 0) + 1
            if attempt["attempt"] in request.paid:
                currency = request.paying_hold["currency"] if request.paying_hold else ""
                rest = request.charge_nano - sum(beside.values())
                nano = rest if attempt["attempt"] == charged else beside[attempt["attempt"]]
                self._charged_failures[currency] = self._charged_failures.get(currency, 0) + nano
                continue
            self._burned.add_tokens(attempt["usage"])
            self._waste(attempt, versions.get(UUID(attempt["hold_id"])))

    def _waste(self, attempt: Row, version: int | None) -> None:
        """What a failed attempt that nobody paid would have cost the customer."""
        priced = self._price(attempt, version)
        if priced is not None:
            currency, nano = priced
            self._wasted[currency] = self._wasted.get(currency, 0) + nano

    def _price(self, attempt: Row, version: int | None) -> tuple[str, int] | None:
        """(currency, nano) of an attempt at its own model's price; None where it has none."""
        book = self._book_of(version) if version is not None else None
        prices = book.prices.get((attempt["route_type"], attempt["upstream_model"])) if book else None
        bucket = book.buckets.get(attempt["route_type"]) if book else None
        if prices is None or bucket is None:
            return None
        return bucket.currency, charge_nano(prices, Usage.model_validate(attempt["usage"]))


def requests_of(holds: Sequence[Row], receipts: Iterable[Row]) -> list[Request]:
    """The run's requests in the order in which they began."""
    settled = {row["request_id"]: row for row in receipts}
    grouped: dict[UUID, list[Row]] = {}
    for hold in holds:
        grouped.setdefault(hold["request_id"], []).append(hold)
    found = []
    for request_id, rows in grouped.items():
        receipt = settled.get(request_id)
        data = orjson.loads(receipt["completed"])["data"] if receipt else None
        found.append(Request(rows, receipt, data))
    return found


def _entry(request: Request) -> Row:
    """The request's line of the timeline."""
    first, hold = request.holds[0], request.paying_hold
    entry: Row = {
        "at": utc_text(first["placed_at"]),
        "kind": "refused" if request.status == "refused" else "request",
        "request_id": str(first["request_id"]),
        "status": request.status,
    }
    if request.status == "refused":
        last = next(each for each in reversed(request.holds) if each["refusal"] is not None)
        refusal = stored(last["refusal"], last["bucket"], last["currency"], last["detail"].get("frozen_why"))
        return entry | {"code": refusal.code, "message": refusal.message}
    entry["held_nano"] = sum(each["amount_nano"] for each in request.holds if each["state"] == "HELD")
    if request.data is not None:
        answered = next((each["upstream_model"] for each in request.attempts if each["outcome"] == "succeeded"), None)
        entry |= {
            "requested_model": request.data["requested_model"],
            "answered_model": answered,
            "outcome": request.data["outcome"],
            "attempts": len(request.attempts),
            "retries": request.retries,
            "fallbacks": [each["reason"] for each in request.data["fallbacks"]],
            "latency_ms": request.data["latency_ms"],
        }
    charge = request.charge_nano
    entry |= {
        "bucket": hold["bucket"] if hold else None,
        "currency": hold["currency"] if hold else None,
        "charge_nano": charge,
        "charge": format_amount(charge),
    }
    return entry


def _place(attempt: Row) -> tuple[str, str]:
    return attempt["channel"], attempt["upstream_model"]


def _listed(sums: dict[tuple[str, ...], Sums], names: tuple[str, ...]) -> list[Row]:
    """The dearest first within a currency."""
    ordered = sorted(sums.items(), key=lambda each: (each[0][-1], -each[1].charge_nano, each[0]))
    return [
        dict(zip(names, key, strict=True))
        | {
            "requests": each.requests,
            "attempts": each.attempts,
            "tokens": each.tokens,
            "charge_nano": each.charge_nano,
            "charge": format_amount(each.charge_nano),
        }
        for key, each in ordered
    ]


def _amounts(by_currency: dict[str, int]) -> list[Row]:
    return [
        {"currency": currency, "amount_nano": nano, "amount": format_amount(nano)}
        for currency, nano in sorted(by_currency.items())
    ]
