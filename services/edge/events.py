"""The events of a call: that it was accepted, or why it was refused."""

from schemas.requests import RequestAccepted, RequestAcceptedData, RequestRejected, RequestRejectedData
from services.edge.caller import Caller
from services.edge.context import Call

MAX_CODE = 128
MAX_MESSAGE = 1000


def accepted(call: Call, caller: Caller) -> RequestAccepted:
    """The event of a call that passed admission."""
    labels = call.labels
    return RequestAccepted(
        occurred_at=call.accepted_at,
        account_id=caller.account_id,
        request_id=call.request_id,
        run_id=labels.run_id,
        environment=caller.environment,
        tags=labels.tags,
        traceparent=labels.traceparent,
        data=RequestAcceptedData(
            key=caller.key,
            client_api=call.client_api,
            requested_model=call.model,
            stream=call.stream,
            body_bytes=call.body_bytes,
            client_request_id=labels.client_request_id,
        ),
    )


def rejected(call: Call, caller: Caller, *, status: int, code: str, message: str) -> RequestRejected:
    """The event of a call that was refused before any upstream call. `message` must not quote the client's body."""
    labels = call.labels
    return RequestRejected(
        account_id=caller.account_id,
        request_id=call.request_id,
        run_id=labels.run_id,
        environment=caller.environment,
        tags=labels.tags,
        traceparent=labels.traceparent,
        data=RequestRejectedData(
            key=caller.key,
            client_api=call.client_api,
            requested_model=call.model,
            http_status=status,
            code=code[:MAX_CODE],
            message=message[:MAX_MESSAGE],
            client_request_id=labels.client_request_id,
        ),
    )
