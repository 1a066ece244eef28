"""What the log is told about a line: whose it is, and that it was refused. Pure."""

from __future__ import annotations

from uuid import UUID

from schemas.batches import BatchAccepted, LineCaller
from schemas.calls import CallContext
from schemas.envelope import now
from schemas.requests import RequestRejected, RequestRejectedData
from services.router.errors import RefusalError
from services.router.events import Record

APIS = {"/v1/chat/completions": "chat.completions", "/v1/responses": "responses", "/v1/embeddings": "embeddings"}
MESSAGE_MAX = 1_000


def context_of(event: BatchAccepted, caller: LineCaller, line: int, request_id: UUID) -> CallContext:
    """The line as a call of the batch's key, as the key is now. Its label is the batch's id and the line's number."""
    return CallContext(
        request_id=request_id,
        account_id=event.account_id,
        key=caller.key,
        environment=caller.environment,
        policy=caller.policy,
        route_limits=caller.route_limits,
        tags=event.tags,
        run_id=event.run_id,
        client_request_id=f"{event.data.batch_id}/{line}",
        traceparent=event.traceparent,
        accepted_at=now(),
    )


def rejected(context: CallContext, endpoint: str, model: str, refusal: RefusalError) -> Record:
    """The record of a line that was refused before any upstream call."""
    event = RequestRejected(
        account_id=context.account_id,
        request_id=context.request_id,
        run_id=context.run_id,
        environment=context.environment,
        tags=context.tags,
        traceparent=context.traceparent,
        data=RequestRejectedData(
            key=context.key,
            client_api=APIS[endpoint],
            requested_model=model,
            http_status=refusal.status,
            code=refusal.code,
            message=refusal.message[:MESSAGE_MAX],
            client_request_id=context.client_request_id,
        ),
    )
    return Record(event.type, event.event_id, event.to_json())
