"""What a line came to, as it is kept until the batch's files are written: its text, and the records that settle it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson

from services.router.answers import Answer
from services.router.events import Record

Outcome = Literal["completed", "failed", "lost"]
LOST = "claim_lost"
UNCLAIMED = "hold_expired"
"""The code of a line whose hold ended before anybody called: nothing was asked upstream, so that it may always be repeated."""
LOST_MESSAGE = (
    "The worker that had begun this request did not finish it. Whether the provider was called is not known; "
    "the receipt of the request says what was charged."
)


class Ended(NamedTuple):
    """The end of a line, as router's table has it."""

    line: int
    repeat: int
    request_id: UUID
    outcome: Outcome
    code: str | None


class Result(NamedTuple):
    """A line's result: what the client reads of it, and the records that settle it."""

    outcome: Outcome
    code: str | None
    entry: bytes
    records: list[Record]


def line_id(request_id: UUID) -> str:
    """What the client's file calls a line's result."""
    return f"batch_req_{request_id.hex}"


def result_of(custom_id: str, request_id: UUID, answer: Answer, records: Sequence[Record], earlier: Sequence[UUID]) -> Result:
    """The result of a line that was answered or refused: a success, or an error with its status."""
    succeeded = 200 <= answer.status < 300
    response = {"status_code": answer.status, "request_id": str(request_id), "body": orjson.Fragment(answer.body)}
    entry = _entry(custom_id, request_id, response, None, earlier)
    return Result("completed" if succeeded else "failed", None if succeeded else code_in(answer.body), entry, list(records))


def error_entry(custom_id: str, request_id: UUID, code: str, message: str, earlier: Sequence[UUID] = ()) -> bytes:
    """What the error file says of a line that has no answer."""
    return _entry(custom_id, request_id, None, {"code": code, "message": message}, earlier)


def packed(result: Result) -> bytes:
    """The result as one object: a line about it, its records, then the entry as it is."""
    records = [[record.type, str(record.event_id), record.value.decode()] for record in result.records]
    head = {"outcome": result.outcome, "code": result.code, "records": records}
    return orjson.dumps(head) + b"\n" + result.entry


def unpacked(packed_result: bytes) -> Result:
    """The result in an object's bytes."""
    head_json, _, entry = packed_result.partition(b"\n")
    head = orjson.loads(head_json)
    records = [Record(kind, UUID(event_id), value.encode()) for kind, event_id, value in head["records"]]
    return Result(head["outcome"], head["code"], entry, records)


def code_in(body: bytes) -> str:
    """The code of an error's body, "error" where it names none."""
    try:
        code = orjson.loads(body)["error"]["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "error"
    return code[:128] if isinstance(code, str) and code else "error"


def _entry(
    custom_id: str, request_id: UUID, response: dict[str, Any] | None, error: dict[str, str] | None, earlier: Sequence[UUID]
) -> bytes:
    entry = {"id": line_id(request_id), "custom_id": custom_id, "response": response, "error": error}
    if earlier:
        entry["tollbook"] = {"earlier_request_ids": [str(each) for each in earlier]}
    return orjson.dumps(entry)
