"""Events of `tollbook.requests.v1`, written by edge."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier


class KeyRef(Contract):
    """Which API key asked. `key_id` is the key's public id (12 characters); the secret is never here."""

    project_id: Identifier
    key_id: Identifier
    key_name: str = ""


class RequestAcceptedData(Contract):
    """A request that edge authenticated and passed on. `client_request_id` is the client's own label, if it sent one."""

    key: KeyRef
    client_api: Identifier
    requested_model: Identifier
    stream: bool
    body_bytes: Annotated[int, Field(ge=0)]
    client_request_id: str | None = None


class RequestRejectedData(Contract):
    """A request that was refused before any upstream call: by edge, or by the ledger after edge had accepted it.

    `code` and `message` are those of the error that the client saw. `requested_model` is "" where the body named none.
    """

    key: KeyRef
    client_api: Identifier
    requested_model: str = ""
    http_status: Annotated[int, Field(ge=400, le=599)]
    code: Identifier
    message: str
    client_request_id: str | None = None


class RequestAccepted(Event):
    """Edge admitted the request."""

    type: Literal["RequestAccepted"] = "RequestAccepted"
    data: RequestAcceptedData


class RequestRejected(Event):
    """The request was refused; no upstream call was made and nothing is charged."""

    type: Literal["RequestRejected"] = "RequestRejected"
    data: RequestRejectedData
