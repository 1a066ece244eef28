"""The receipt: who asked, what answered, what was retried, which balance paid, how much and why. Pure."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from schemas.attempts import Attempt, RequestCompleted
from schemas.money import Prices, Usage, charge_nano, format_amount
from services.settlement.explanation import explain
from services.settlement.pricebook import PriceBook
from services.settlement.refusals import stored, utc_text

BookOf = Callable[[int], PriceBook | None]
Row = dict[str, Any]
OPERATORS_OWN = {"operator_cost_nano", "operator_cost_currency", "operator_exposure_nano"}
"""Fields of an attempt that are no business of the customer who reads the receipt."""
TIMES = "\N{MULTIPLICATION SIGN}"


def receipt(
    *,
    account_id: str,
    request_id: UUID,
    holds: Sequence[Row],
    settled: Row | None,
    expiry_moves: dict[UUID, tuple[int, int]],
    cases: Sequence[Row],
    book_of: BookOf,
    refunds: Sequence[Row] = (),
) -> Row:
    """The receipt of one request, whatever its state. `settled` is the settlement's row, None before RequestCompleted."""
    event = RequestCompleted.model_validate_json(settled["completed"]) if settled else None
    status = settled["status"] if settled else unsettled_status(holds)
    paid = paying_hold(holds, settled)
    body: Row = {"object": "receipt", "request_id": str(request_id), "status": status, "account_id": account_id}
    body |= who(event, holds)
    body |= what(event, holds, settled)
    body["plan"] = [candidate.model_dump() for candidate in event.data.plan] if event else _planned(holds)
    body["attempts"] = _attempts(event, holds, book_of)
    body["fallbacks"] = [fallback.model_dump() for fallback in event.data.fallbacks] if event else []
    body["charge"] = _charge(event, settled, paid, book_of)
    if body["charge"] and paid:
        body["charge"]["refunded_nano"] = sum(each["amount_nano"] for each in refunds if each["hold_id"] == str(paid["id"]))
    body["refunds"] = list(refunds)
    body["balance"] = _balance(settled, paid, expiry_moves)
    body["holds"] = [_hold(hold) for hold in holds]
    body["refusal"] = refusal_of(holds) if status == "refused" else None
    body["cases"] = [{"kind": case["kind"], "detail": case["detail"]} for case in cases]
    written_off_nano = settled["written_off_nano"] if settled else 0
    error_class = event.data.error_class if event else None
    body["explanation"] = explain(body, written_off_nano=written_off_nano, error_class=error_class)
    return body


def unsettled_status(holds: Sequence[Row]) -> str:
    """The state of a request that has not completed."""
    states = {hold["state"] for hold in holds}
    if "HELD" in states:
        return "pending"
    return "expired" if "EXPIRED" in states else "refused"


def paying_hold(holds: Sequence[Row], settled: Row | None) -> Row | None:
    """The hold that the charge was taken from, or an expired one; None where nothing was charged."""
    if settled:
        return next((hold for hold in holds if hold["id"] == settled["charged_hold"]), None)
    return next((hold for hold in holds if hold["state"] == "EXPIRED"), None)


def who(event: RequestCompleted | None, holds: Sequence[Row]) -> Row:
    """Who asked, and for what task."""
    if event:
        return {
            "project_id": event.data.key.project_id,
            "key_id": event.data.key.key_id,
            "key_name": event.data.key.key_name,
            "environment": event.environment,
            "tags": event.tags,
            "run_id": event.run_id,
        }
    first = holds[0]
    detail = first["detail"]
    return {
        "project_id": first["project_id"],
        "key_id": first["key_id"],
        "key_name": detail["key_name"],
        "environment": detail["environment"],
        "tags": detail["tags"],
        "run_id": detail["run_id"],
    }


def what(event: RequestCompleted | None, holds: Sequence[Row], settled: Row | None) -> Row:
    """What was asked, when, and how long it took."""
    if event is None:
        detail = holds[0]["detail"]  # of a release before, it does not say what was asked for
        return {
            "client_request_id": None,
            "client_api": detail.get("client_api"),
            "requested_model": detail.get("requested_model"),
            "answered_model": None,
            "stream": None,
            "accepted_at": utc_text(holds[0]["placed_at"]),
            "settled_at": utc_text(max((hold["ended_at"] for hold in holds if hold["ended_at"]), default=None)),
            "latency_ms": None,
            "ttft_ms": None,
            "overhead_ms": None,
            "table_version": None,
        }
    data = event.data
    answered = next((each.upstream_model for each in data.attempts if each.outcome == "succeeded"), None)
    return {
        "client_request_id": data.client_request_id,
        "client_api": data.client_api,
        "requested_model": data.requested_model,
        "answered_model": answered,
        "stream": data.stream,
        "accepted_at": utc_text(data.accepted_at),
        "settled_at": utc_text(settled["settled_at"]) if settled else None,
        "latency_ms": data.latency_ms,
        "ttft_ms": data.ttft_ms,
        "overhead_ms": data.overhead_ms,
        "table_version": data.table_version,
    }


def _planned(holds: Sequence[Row]) -> list[Row]:
    """The candidates that the first hold was asked for: all that is known of the plan before the request has ended."""
    return [
        {"channel": channel, "route_type": route_type, "brand": None, "upstream_model": model}
        for channel, route_type, model in holds[0]["detail"]["candidates"]
    ]


def _attempts(event: RequestCompleted | None, holds: Sequence[Row], book_of: BookOf) -> list[Row]:
    if event is None:
        return []
    by_id = {hold["id"]: hold for hold in holds}
    rows = []
    for attempt in event.data.attempts:
        priced = _priced(attempt, by_id.get(attempt.hold_id), book_of)
        row = attempt.model_dump(mode="json", exclude=OPERATORS_OWN)
        row["charged"] = attempt.attempt == event.data.charged_attempt or attempt.attempt in event.data.also_charged
        row["cost_nano"], row["cost_currency"] = priced if priced else (None, None)
        rows.append(row)
    return rows


def _priced(attempt: Attempt, hold: Row | None, book_of: BookOf) -> tuple[int, str] | None:
    """What the attempt cost, or would have cost, the customer at its own model's price; None where it has no price."""
    book = book_of(hold["price_version"]) if hold else None
    if book is None:
        return None
    prices = book.prices.get((attempt.route_type, attempt.upstream_model))
    bucket = book.buckets.get(attempt.route_type)
    return (charge_nano(prices, attempt.usage), bucket.currency) if prices and bucket else None


def _charge(event: RequestCompleted | None, settled: Row | None, paid: Row | None, book_of: BookOf) -> Row | None:
    if paid is None:
        return None
    attempt = charged_attempt(event)
    book = book_of(paid["price_version"])
    prices = book.prices.get((attempt.route_type, attempt.upstream_model)) if book and attempt else None
    beside = event is not None and bool(event.data.also_charged)
    by_usage = settled is not None and settled["status"] == "settled"
    amount = charged_nano(settled, paid)
    return {
        "bucket": paid["bucket"],
        "currency": paid["currency"],
        "amount_nano": amount,
        "amount": format_amount(amount),
        "price_version": paid["price_version"],
        "prices": prices.model_dump() if prices else None,
        "usage": attempt.usage.model_dump() if attempt else None,
        "hold_nano": paid["amount_nano"],
        "released_nano": paid["released_nano"],
        "overrun_nano": settled["overrun_nano"] if settled else 0,
        "arithmetic": arithmetic(prices, attempt.usage, amount) if by_usage and prices and attempt and not beside else None,
        "parts": parts(event, attempt, book) if by_usage and beside else [],
    }


def charged_nano(settled: Row | None, paid: Row) -> int:
    """What the request was charged: by its usage, or what was captured of a hold that expired."""
    by_usage = settled is not None and settled["status"] == "settled"
    return int(settled["charge_nano"] if settled and by_usage else paid["captured_nano"])


def parts(event: RequestCompleted | None, charged: Attempt | None, book: PriceBook | None) -> list[Row]:
    """The attempts that a charge is the sum of, each priced and rounded by itself; empty for a charge of one attempt."""
    if event is None or charged is None or book is None:
        return []
    paid = [each for each in event.data.attempts if each is charged or each.attempt in event.data.also_charged]
    found = []
    for each in paid:
        prices = book.prices[each.route_type, each.upstream_model]
        nano = charge_nano(prices, each.usage)
        found.append(
            {
                "attempt": each.attempt,
                "amount_nano": nano,
                "prices": prices.model_dump(),
                "usage": each.usage.model_dump(),
                "arithmetic": arithmetic(prices, each.usage, nano),
            }
        )
    return found


def charged_attempt(event: RequestCompleted | None) -> Attempt | None:
    """The attempt that the customer pays for."""
    if event is None:
        return None
    return next((each for each in event.data.attempts if each.attempt == event.data.charged_attempt), None)


def arithmetic(prices: Prices, usage: Usage, amount_nano: int) -> str:
    """The charge as a sum that a person can follow, tokens times price per million: see `docs/contracts.md`."""
    terms = [
        (usage.input_tokens, prices.input, ""),
        (usage.cached_input_tokens, prices.cached_input, " cached"),
        (usage.cache_write_tokens, prices.cache_write, " cache-write"),
        (usage.output_tokens, prices.output, ""),
    ]
    parts = [f"{tokens}{kind} {TIMES} {format_amount(price)}/M" for tokens, price, kind in terms if tokens]
    return f"{' + '.join(parts) or '0'} = {format_amount(amount_nano)}"


def _balance(settled: Row | None, paid: Row | None, expiry_moves: dict[UUID, tuple[int, int]]) -> Row | None:
    if settled and settled["before_nano"] is not None:
        return {"before_nano": settled["before_nano"], "after_nano": settled["after_nano"], "run": _reserve(paid)}
    if paid and paid["id"] in expiry_moves:
        before, after = expiry_moves[paid["id"]]
        return {"before_nano": before, "after_nano": after, "run": _reserve(paid)}
    return None


def _reserve(paid: Row | None) -> str | None:
    """The run whose reserve the balance is; None where it is the customer's bucket."""
    return paid["run"] if paid and paid["reserved"] else None


def _hold(hold: Row) -> Row:
    return {
        "hold_id": str(hold["id"]),
        "bucket": hold["bucket"],
        "currency": hold["currency"],
        "amount_nano": hold["amount_nano"],
        "state": hold["state"].lower(),
        "price_version": hold["price_version"],
        "output_cap": hold["output_cap"],
        "captured_nano": hold["captured_nano"],
        "released_nano": hold["released_nano"],
    }


def refusal_of(holds: Sequence[Row]) -> Row | None:
    """Why the last hold that was asked for did not pass."""
    last = next((hold for hold in reversed(holds) if hold["refusal"] is not None), None)
    if last is None:
        return None
    refusal = stored(last["refusal"], last["bucket"], last["currency"], last["detail"].get("frozen_why"))
    return {
        "code": refusal.code,
        "message": refusal.message,
        "envelope": refusal.envelope,
        "needed_nano": refusal.needed_nano,
        "left_nano": refusal.left_nano,
        "held_nano": refusal.held_nano,
    }
