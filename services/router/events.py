"""The events of a request as bytes. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import orjson

from schemas.attempts import ErrorClass, Outcome
from schemas.calls import CallContext
from schemas.envelope import new_id, now
from services.router.documents import AttemptDocument, CandidateDocument, FallbackDocument


class Record(NamedTuple):
    """One event: its type, its id, its JSON."""

    type: str
    event_id: UUID
    value: bytes


class Ending(TypedDict):
    """How a request ended: the fields of RequestCompletedData that are known only then. Times in milliseconds."""

    stream: bool
    outcome: Outcome
    http_status: int
    error_class: ErrorClass | None
    plan: list[CandidateDocument]
    attempts: list[AttemptDocument]
    fallbacks: list[FallbackDocument]
    hold_ids: list[UUID]
    charged_attempt: int | None
    also_charged: list[int]
    bucket: str | None
    currency: str | None
    cost_nano: int | None
    latency_ms: float
    ttft_ms: float | None
    overhead_ms: float
    table_version: int | None


class EventWriter:
    """Writes the events of one request."""

    __slots__ = ("_base", "_client_api", "_context", "_key", "_model")

    def __init__(self, context: CallContext, requested_model: str, client_api: str = "chat.completions") -> None:
        self._context = context
        self._client_api = client_api
        self._model = requested_model
        key = context.key
        self._key = {"project_id": key.project_id, "key_id": key.key_id, "key_name": key.key_name}
        self._base = {
            "version": 1,
            "account_id": context.account_id,
            "request_id": context.request_id,
            "run_id": context.run_id,
            "environment": context.environment,
            "tags": context.tags,
            "traceparent": context.traceparent,
        }

    def attempt_started(self, attempt: int, candidate: CandidateDocument, hold_id: UUID) -> Record:
        """An upstream call is about to be made."""
        return self._record("AttemptStarted", {"attempt": attempt, "hold_id": hold_id, **candidate})

    def attempt_finished(self, attempt: AttemptDocument) -> Record:
        """An upstream call has ended."""
        return self._record("AttemptFinished", {"attempt": attempt})

    def fallback_taken(self, fallback: FallbackDocument) -> Record:
        """The plan has moved on."""
        return self._record("FallbackTaken", {"fallback": fallback})

    def request_completed(self, ending: Ending) -> Record:
        """The request is over: the event that settles."""
        context = self._context
        rest = {
            "client_api": self._client_api,
            "accepted_at": context.accepted_at,
            "client_request_id": context.client_request_id,
        }
        return self._record("RequestCompleted", {**ending, **rest})

    def _record(self, type_: str, data: dict[str, Any]) -> Record:
        event_id = new_id()
        data["key"] = self._key
        data["requested_model"] = self._model
        document = {"event_id": event_id, "type": type_, "occurred_at": now(), **self._base, "data": data}
        return Record(type_, event_id, orjson.dumps(document))
