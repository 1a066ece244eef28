"""The one shape of errors, as OpenAPI tells it."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class ErrorDetail(BaseModel):
    """What went wrong. `param` names the field, if it was one; further members name what refused."""

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(BaseModel):
    """The body of every reply that is no success."""

    error: ErrorDetail


EVERYWHERE = (400, 401, 403, 422, 503)
SAID = {
    400: "The request cannot be used as it is: JSON that cannot be read, a text that cannot be stored.",
    401: "No token, or one that does not count.",
    402: "The run that is named has no money left.",
    403: "`role_not_allowed`: the caller's roles lack what this operation needs; or an operator decided it (`…_by_operator`).",
    404: "There is none, or none that the caller may know of.",
    409: "`idempotency_conflict`: the idempotency key was used with another body; or the state of things forbids it.",
    422: "A value does not fit; `param` names it.",
    429: "The run that is named has no money left until its window ends.",
    503: "Something that edge needs is away, or the call met a fault of its own. Try again.",
}


def replies(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may refuse with: what every route has, and these."""
    return {status: {"model": ErrorReply, "description": SAID[status]} for status in sorted({*EVERYWHERE, *statuses})}
