"""A request as one row of its account's list: its receipt in short. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from schemas.attempts import Attempt, RequestCompleted
from schemas.money import format_amount
from services.settlement.receipts import charged_attempt, charged_nano, paying_hold, refusal_of, unsettled_status, what, who

Row = dict[str, Any]
OF_ATTEMPT = ("channel", "brand", "route_type", "upstream_model")
OF_EVENT = ("outcome", "error_class", "http_status")
UNKNOWN_YET = ("client_request_id", "table_version", "overhead_ms")
"""What stands in the receipt alone."""


def rows(
    account_id: str, request_ids: Sequence[UUID], holds: Iterable[Row], receipts: Iterable[Row], refunded: Mapping[UUID, int]
) -> list[Row]:
    """The requests in the order of their ids here; `refunded` is by hold."""
    held: dict[UUID, list[Row]] = {}
    for hold in holds:
        held.setdefault(hold["request_id"], []).append(hold)
    settled = {receipt["request_id"]: receipt for receipt in receipts}
    return [_row(account_id, each, held.get(each, []), settled.get(each), refunded) for each in request_ids]


def _row(account_id: str, request_id: UUID, holds: Sequence[Row], settled: Row | None, refunded: Mapping[UUID, int]) -> Row:
    event = RequestCompleted.model_validate_json(settled["completed"]) if settled else None
    state = settled["status"] if settled else unsettled_status(holds)
    refusal = refusal_of(holds) if state == "refused" else None
    told = {name: value for name, value in what(event, holds, settled).items() if name not in UNKNOWN_YET}
    return {
        "object": "request",
        "request_id": str(request_id),
        "state": state,
        "account_id": account_id,
        **who(event, holds),
        **{name: getattr(event.data, name) if event else None for name in OF_EVENT},
        **told,
        **_answered(event),
        "refusal": refusal["code"] if refusal else None,
        "charge": _charge(holds, settled, refunded),
    }


def _answered(event: RequestCompleted | None) -> Row:
    """Where the request came to, and over how many attempts."""
    attempts = event.data.attempts if event else []
    last: Attempt | None = charged_attempt(event) or (attempts[-1] if attempts else None)
    return {
        **{name: getattr(last, name) if last else None for name in OF_ATTEMPT},
        "attempts": len(attempts),
        "fallbacks": len(event.data.fallbacks) if event else 0,
        "usage": last.usage.model_dump() if last else None,
    }


def _charge(holds: Sequence[Row], settled: Row | None, refunded: Mapping[UUID, int]) -> Row | None:
    paid = paying_hold(holds, settled)
    if paid is None:
        return None
    nano = charged_nano(settled, paid)
    return {
        "bucket": paid["bucket"],
        "currency": paid["currency"],
        "amount_nano": nano,
        "amount": format_amount(nano),
        "refunded_nano": refunded.get(paid["id"], 0),
    }
