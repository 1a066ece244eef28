"""`ledger`: what happened to money, as settlement wrote it."""

from collections.abc import Mapping
from typing import Any

import orjson

from schemas import topics
from services.analytics.rows.columns import KEY, USAGE, free_text, instant, nano, text, uuid, version
from services.analytics.rows.fields import micros, optional_micros, optional_uuid, text_of, uuid_number
from services.analytics.rows.table import Event, Filler, Table, Values, key_values, usage_values


def _balance(move: Mapping[str, Any]) -> Values:
    return {
        "bucket": move["bucket"],
        "currency": move["currency"],
        "balance_before_nano": move["before_nano"],
        "balance_after_nano": move["after_nano"],
        "held_after_nano": move["held_after_nano"],
    }


def _envelope(envelope: Mapping[str, Any] | None) -> Values:
    if envelope is None:
        return {}
    return {
        "envelope_kind": envelope["kind"],
        "envelope_id": envelope["id"],
        "envelope_window": text_of(envelope.get("window")),
    }


def _hold(data: Any) -> Values:
    return {**key_values(data["key"]), "hold_id": uuid_number(data["hold_id"])}


def _hold_placed(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        "bucket": data["bucket"],
        "currency": data["currency"],
        "amount_nano": data["amount_nano"],
        "price_version": data["price_version"],
        "input_tokens": data["input_tokens_bound"],
        "output_tokens": data["output_cap"],
        "channel": data["channel"],
        "deadline_at": micros(data["deadline_at"]),
    }


def _hold_refused(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        **_envelope(data.get("envelope")),
        "code": data["code"],
        "message": data["message"],
        "currency": text_of(data.get("currency")),
        "amount_nano": data.get("needed_nano"),
        "left_nano": data.get("left_nano"),
        "held_after_nano": data.get("held_nano"),
        "deadline_at": optional_micros(data.get("resets_at")),
    }


def _captured(_: Event, data: Any) -> Values:
    planned = data.get("planned") or {}
    return {
        **_hold(data),
        **_balance(data["balance"]),
        **usage_values(data["usage"]),
        "txn_id": uuid_number(data["txn_id"]),
        "requested_model": data["requested_model"],
        "channel": data["channel"],
        "route_type": data["route_type"],
        "upstream_model": data["upstream_model"],
        "price_version": data["price_version"],
        "amount_nano": data["captured_nano"],
        "hold_nano": data["hold_nano"],
        "released_nano": data["released_nano"],
        "overrun_nano": data.get("overrun_nano", 0),
        "planned_route_type": text_of(planned.get("route_type")),
        "planned_model": text_of(planned.get("upstream_model")),
        "beside_nano": data.get("beside_nano", 0),
    }


def _released(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        "bucket": data["bucket"],
        "currency": data["currency"],
        "amount_nano": data["amount_nano"],
        "code": data["reason"],
    }


def _expired(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        "bucket": data["bucket"],
        "currency": data["currency"],
        "amount_nano": data["charged_nano"],
        "exposure_nano": data["exposure_nano"],
        "case_id": uuid_number(data["case_id"]),
    }


def _late_usage(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        **usage_values(data["usage"]),
        "currency": data["currency"],
        "amount_nano": data["amount_nano"],
    }


def _topped_up(_: Event, data: Any) -> Values:
    return {
        **_balance(data["balance"]),
        "txn_id": uuid_number(data["txn_id"]),
        "provider": data["provider"],
        "payment_id": data["payment_id"],
        "amount_nano": data["amount_nano"],
    }


def _refunded(_: Event, data: Any) -> Values:
    return {
        **_hold(data),
        **_corrected(data),
        "hold_nano": data["charged_nano"],
        "released_nano": data["refunded_nano"],
    }


def _corrected(data: Any) -> Values:
    """What refunds, adjustments and promotions have in common; `overrun_nano` is what the amount paid of a debt."""
    return {
        **_balance(data["balance"]),
        "txn_id": uuid_number(data["txn_id"]),
        "amount_nano": data["amount_nano"],
        "overrun_nano": data.get("repaid_nano", 0),
        "message": data["reason"],
        "author": data["author"],
    }


def _adjusted(_: Event, data: Any) -> Values:
    return _corrected(data)


def _charged_back(_: Event, data: Any) -> Values:
    return {
        **_corrected(data),
        "overrun_nano": data["owed_nano"],
        "provider": data["provider"],
        "payment_id": data["payment_id"],
        "code": data["dispute_id"],
        "case_id": optional_uuid(data.get("case_id")),
    }


def _reinstated(_: Event, data: Any) -> Values:
    return {
        **_corrected(data),
        "provider": data["provider"],
        "payment_id": data["payment_id"],
        "code": data["dispute_id"],
    }


def _promotion(_: Event, data: Any) -> Values:
    return {**_corrected(data), "deadline_at": micros(data["expires_at"])}


def _credit_expired(_: Event, data: Any) -> Values:
    return {
        **_balance(data["balance"]),
        "txn_id": uuid_number(data["txn_id"]),
        "amount_nano": data["amount_nano"],
        "code": data["promotion_id"],
    }


def _price_book(_: Event, data: Any) -> Values:
    return {
        "price_version": data["version"],
        "code": data["sha256"],
        "details": orjson.dumps(data["items"]).decode(),
    }


def _limit_changed(_: Event, data: Any) -> Values:
    return {
        **_envelope(data["envelope"]),
        "currency": data["currency"],
        "amount_nano": data["limit_nano"],
        "author": data["author"],
    }


def _run(_: Event, data: Any) -> Values:
    """A run names several buckets: what it was given in each, or what came back, is in `details`."""
    return {
        **key_values(data["key"]),
        "txn_id": uuid_number(data["txn_id"]),
        "envelope_kind": "run",
        "envelope_id": data["run_id"],
        "envelope_window": "run",
        "deadline_at": optional_micros(data.get("deadline_at")),
        "code": text_of(data.get("reason")),
        "message": text_of(data.get("label")),
        "details": orjson.dumps(data.get("budgets") or data.get("buckets") or []).decode(),
    }


def _case_opened(_: Event, data: Any) -> Values:
    return {
        "case_id": uuid_number(data["case_id"]),
        "code": data["kind"],
        "message": data["detail"],
        "exposure_nano": data.get("exposure_nano"),
        "currency": text_of(data.get("currency")),
    }


def _case_closed(_: Event, data: Any) -> Values:
    return {
        "case_id": optional_uuid(data["case_id"]),
        "code": text_of(data.get("decision")),
        "message": data["resolution"],
        "author": data["author"],
    }


def _checkpoint(_: Event, data: Any) -> Values:
    return {"code": data["root"], "details": data["note"]}


_FILLERS: dict[str, Filler] = {
    "HoldPlaced": _hold_placed,
    "HoldRefused": _hold_refused,
    "Captured": _captured,
    "Released": _released,
    "Expired": _expired,
    "LateUsage": _late_usage,
    "ToppedUp": _topped_up,
    "PriceBookPublished": _price_book,
    "LimitChanged": _limit_changed,
    "RunOpened": _run,
    "RunExtended": _run,
    "RunClosed": _run,
    "CaseOpened": _case_opened,
    "CaseClosed": _case_closed,
    "Refunded": _refunded,
    "Adjusted": _adjusted,
    "ChargedBack": _charged_back,
    "ChargebackReinstated": _reinstated,
    "PromotionGranted": _promotion,
    "CreditExpired": _credit_expired,
    "CheckpointPublished": _checkpoint,
}

LEDGER = Table(
    name="ledger",
    topic=topics.LEDGER,
    own_columns=(
        *KEY,
        text("bucket"),
        text("currency"),
        nano("amount_nano"),
        uuid("hold_id"),
        uuid("txn_id"),
        uuid("case_id"),
        nano("hold_nano"),
        nano("released_nano"),
        nano("overrun_nano"),
        nano("exposure_nano"),
        nano("left_nano"),
        nano("balance_before_nano"),
        nano("balance_after_nano"),
        nano("held_after_nano"),
        version("price_version"),
        text("requested_model"),
        text("channel"),
        text("route_type"),
        text("upstream_model"),
        *USAGE,
        instant("deadline_at", nullable=True),
        text("envelope_kind"),
        text("envelope_id"),
        text("envelope_window"),
        text("code"),
        free_text("message"),
        text("provider"),
        free_text("payment_id"),
        text("author"),
        free_text("details"),
        text("planned_route_type"),
        text("planned_model"),
        nano("beside_nano", nullable=False),
    ),
    fillers=_FILLERS,
)
"""`amount_nano` is the event's main amount: held, captured, released, charged, topped up, needed (HoldRefused) or the limit.

`input_tokens` and `output_tokens` of a HoldPlaced are its bounds. `deadline_at` of a HoldRefused is when its window resets,
`held_after_nano` what open holds occupied of what stopped it. `deadline_at` of a PromotionGranted is when the credit expires.
Of a Refunded, `hold_nano` is the charge and `released_nano` what of it is refunded.
`overrun_nano` is what came beyond a hold, what a ChargedBack leaves owed, or what another amount paid of a debt. `code` is
the id of the dispute or (CreditExpired) of the promotion.
"""
