"""Events of `tollbook.ledger.v1` as JSON. Pure.

The hot ones are written as plain dicts; a contract test reads each of them back through `schemas.registry`.
"""

from typing import Any
from uuid import UUID

import orjson

from schemas.attempts import Attempt, RequestCompleted
from schemas.dead import DeadLetter, DeadLetterData
from schemas.envelope import Event, new_id, now
from schemas.ledger import CaseOpened, CaseOpenedData, Expired, ExpiredData
from schemas.requests import KeyRef
from services.settlement.expiry import Expiry
from services.settlement.records import Record
from services.settlement.refusals import stored
from services.settlement.settling import CaseDraft, Charge, HoldRow


def envelope(event_type: str, event_id: UUID, cause: Event) -> dict[str, Any]:
    """The fields that every event has, taken from the event that caused it."""
    return {
        "event_id": event_id,
        "type": event_type,
        "version": 1,
        "occurred_at": now(),
        "account_id": cause.account_id,
        "request_id": cause.request_id,
        "run_id": cause.run_id,
        "environment": cause.environment,
        "tags": cause.tags,
        "traceparent": cause.traceparent,
    }


def hold_decided(row: dict[str, Any]) -> str:
    """HoldPlaced or HoldRefused of a hold's row, under the hold's own id: written again, it is the same to the last byte."""
    detail = row["detail"]
    body: dict[str, Any] = {
        "event_id": row["ref"],
        "type": row["type"],
        "version": 1,
        "occurred_at": row["placed_at"],
        "account_id": row["key"],
        "request_id": row["request_id"],
        "run_id": detail["run_id"],
        "environment": detail["environment"],
        "tags": detail["tags"],
        "traceparent": None,
    }
    key = {"project_id": row["project_id"], "key_id": row["key_id"], "key_name": detail["key_name"]}
    if row["type"] == "HoldPlaced":
        body["data"] = {
            "hold_id": row["ref"],
            "key": key,
            "bucket": row["bucket"],
            "currency": row["currency"],
            "amount_nano": row["amount_nano"],
            "price_version": row["price_version"],
            "input_tokens_bound": row["input_tokens_bound"],
            "output_cap": row["output_cap"],
            "channel": detail["candidates"][0][0],
            "deadline_at": row["deadline_at"],
        }
    else:
        refusal = stored(row["refusal"], row["bucket"], row["currency"], row["detail"].get("frozen_why"))
        body["data"] = {
            "hold_id": row["ref"],
            "key": key,
            "code": refusal.code,
            "message": refusal.message,
            "envelope": refusal.envelope,
            "currency": refusal.currency,
            "needed_nano": refusal.needed_nano,
            "left_nano": refusal.left_nano,
            "resets_at": refusal.resets_at,
            "held_nano": refusal.held_nano,
            "passing": refusal.passing,
        }
    return dumps(body)


def captured_head(event: RequestCompleted, charge: Charge, *, txn_id: UUID) -> str:
    """Captured, under the transaction's own id, as far as it is known before the bucket is locked: all but three amounts."""
    attempt, hold = charge.attempt, charge.hold
    taken = min(charge.nano, hold.amount_nano)
    planned = event.data.plan[0] if event.data.plan else attempt
    body = envelope("Captured", txn_id, event)
    body["data"] = {
        "hold_id": hold.id,
        "txn_id": txn_id,
        "key": event.data.key.__dict__,
        "requested_model": event.data.requested_model,
        "channel": attempt.channel,
        "route_type": attempt.route_type,
        "upstream_model": attempt.upstream_model,
        "usage": attempt.usage.__dict__,
        "price_version": hold.price_version,
        "hold_nano": hold.amount_nano,
        "captured_nano": taken,
        "released_nano": hold.amount_nano - taken,
        "overrun_nano": charge.nano - taken,
        "planned": {"route_type": planned.route_type, "upstream_model": planned.upstream_model},
        "beside_nano": charge.beside_nano,
        "balance": {"bucket": hold.bucket, "currency": hold.currency, "run": hold.reserve},
    }
    return dumps(body).removesuffix("}}}")


def captured(head: str, move: tuple[int, int, int]) -> str:
    """The whole of Captured. `move` is the bucket's balance before, after, and what is held after."""
    return f'{head},"before_nano":{move[0]},"after_nano":{move[1]},"held_after_nano":{move[2]}}}}}}}'


def released(event: RequestCompleted, hold: HoldRow) -> str:
    """Released: the hold is given back whole. The reason is why nothing was charged to it."""
    body = envelope("Released", new_id(), event)
    body["data"] = {
        "hold_id": hold.id,
        "key": event.data.key.__dict__,
        "bucket": hold.bucket,
        "currency": hold.currency,
        "amount_nano": hold.amount_nano,
        "reason": "not_charged" if event.data.charged_attempt is None else "other_attempt_charged",
    }
    return dumps(body)


def late_usage(event: RequestCompleted, attempt: Attempt, hold: HoldRow, *, txn_id: UUID, amount_nano: int) -> str:
    """LateUsage, under the transaction's own id."""
    body = envelope("LateUsage", txn_id, event)
    body["data"] = {
        "hold_id": hold.id,
        "key": event.data.key.__dict__,
        "currency": hold.currency,
        "amount_nano": amount_nano,
        "usage": attempt.usage.__dict__,
    }
    return dumps(body)


def expired(expiry: Expiry, key_name: str) -> str:
    """Expired, under the transaction's own id."""
    hold = expiry.hold
    key = KeyRef(project_id=hold.project_id, key_id=hold.key_id, key_name=key_name)
    data = ExpiredData(
        hold_id=hold.id,
        key=key,
        bucket=hold.bucket,
        currency=hold.currency,
        charged_nano=expiry.charge_nano,
        exposure_nano=expiry.exposure_nano,
        case_id=expiry.case.id,
    )
    event = Expired(event_id=expiry.txn_id, account_id=hold.holder, request_id=hold.request_id, data=data)
    return event.to_json().decode()


def case_opened(case: CaseDraft) -> str:
    """CaseOpened, under the case's own id."""
    data = CaseOpenedData(
        case_id=case.id, kind=case.kind, detail=case.detail, exposure_nano=case.exposure_nano, currency=case.currency
    )
    event = CaseOpened(event_id=case.id, account_id=case.holder, request_id=case.request_id, data=data)
    return event.to_json().decode()


def dead_letter(record: Record, topic: str, consumer: str, reason: str, detail: str) -> tuple[UUID, str]:
    """DeadLetter with its id; the account is unknown, since nothing in the record can be trusted."""
    data = DeadLetterData(
        topic=topic, partition=record.partition, offset=record.offset, consumer=consumer, reason=reason, detail=detail
    )
    event = DeadLetter(account_id="unknown", data=data)
    return event.event_id, event.to_json().decode()


def dumps(body: dict[str, Any]) -> str:
    """JSON text; UUIDs and datetimes as on every topic."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z).decode()
