"""What edge reads of a request before it lets it in: a JSON object, a model that the key may use, messages, stream."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.edge.caller import Caller
from services.edge.errors import InvalidRequestError

MAX_MODEL_LENGTH = 128
MAX_SHOWN = 128


@dataclass(frozen=True, slots=True)
class Admitted:
    """The few facts of a body that edge needs; the body itself goes on unchanged."""

    model: str
    stream: bool


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises :class:`InvalidRequestError`."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequestError("invalid_json", "The body of the request is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidRequestError("invalid_json", "The body of the request must be a JSON object.")
    return parsed


def named_model(payload: dict[str, Any]) -> str:
    """What a payload gives as its model, for the record of a refusal; "" where that is no text."""
    model = payload.get("model")
    return model[:MAX_SHOWN] if isinstance(model, str) else ""


def admit_call(payload: dict[str, Any], caller: Caller, content: str = "messages") -> Admitted:
    """Check a payload as far as admission goes; `content` names what it asks. Raises an `ApiError` naming the parameter."""
    model = _model(payload)
    caller.require_model(model)
    if content == "messages":
        _check_messages(payload.get("messages"))
    elif not payload.get(content):
        raise _invalid(content, "is required")
    stream = payload.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _invalid("stream", "must be true or false")
    return Admitted(model, bool(stream))


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "must be a list with at least one message")
    if not all(isinstance(message, dict) for message in messages):
        raise _invalid("messages", "must hold objects")


def _model(payload: dict[str, Any]) -> str:
    model = payload.get("model")
    if not isinstance(model, str) or not model.strip():
        raise _invalid("model", "must name a model")
    if len(model) > MAX_MODEL_LENGTH or not model.isprintable():
        raise _invalid("model", f"takes {MAX_MODEL_LENGTH} printable characters at most")
    return model


def _invalid(param: str, what: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_value", f"'{param}' {what}.", param=param)
