"""The APIs in which a client may ask a model: where a call goes on to, and the shape that its errors have. Pure."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.edge.errors import error_body

ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
BROKE_OFF = ("The reply broke off inside Tollbook.", "server_error", None, "reply_interrupted")


@dataclass(frozen=True, slots=True)
class ModelApi:
    """Chat completions, as they are inside; another API says what differs. `name` is what events call it."""

    name: str = "chat.completions"
    path: str = "/v1/chat/completions"
    content: str = "messages"
    """The parameter without which there is nothing to answer."""
    output_caps: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
    """Its parameters that cap what a model writes; none where nothing is written."""

    @property
    def router_path(self) -> str:
        """Where router takes it."""
        return f"/internal{self.path}"

    def error(self, status: int, body: bytes, request_id: str) -> bytes:
        """An error's body, given in OpenAI's shape."""
        return body

    def broke_off(self) -> bytes:
        """The event that ends a stream which router did not end."""
        return b"data: " + error_body(*BROKE_OFF) + b"\n\n"


@dataclass(frozen=True, slots=True)
class MessagesApi(ModelApi):
    """Anthropic's messages."""

    name: str = "messages"
    path: str = "/v1/messages"
    output_caps: tuple[str, ...] = ("max_tokens",)

    def error(self, status: int, body: bytes, request_id: str) -> bytes:
        """The error in Anthropic's shape; what OpenAI's has beside message and type stays in it."""
        try:
            error = dict(orjson.loads(body)["error"])
            message = str(error.pop("message"))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return body
        return orjson.dumps(anthropic_error(status, message, error) | {"request_id": request_id})

    def broke_off(self) -> bytes:
        """An `error` event."""
        message, _, _, code = BROKE_OFF
        return b"event: error\ndata: " + orjson.dumps(anthropic_error(500, message, {"code": code})) + b"\n\n"


@dataclass(frozen=True, slots=True)
class ResponsesApi(ModelApi):
    """OpenAI's responses."""

    name: str = "responses"
    path: str = "/v1/responses"
    content: str = "input"
    output_caps: tuple[str, ...] = ("max_output_tokens",)

    def broke_off(self) -> bytes:
        """An `error` event; clients that look for an error object find one too."""
        message, kind, _, code = BROKE_OFF
        error = {"message": message, "type": kind, "param": None, "code": code}
        event = {"type": "error", "code": code, "message": message, "param": None, "error": error}
        return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def anthropic_error(status: int, message: str, rest: dict[str, Any]) -> dict[str, Any]:
    """An error document of Anthropic's: its type follows from the status."""
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {**rest, "type": kind, "message": message}}


CHAT_COMPLETIONS = ModelApi()
MESSAGES = MessagesApi()
RESPONSES = ResponsesApi()
EMBEDDINGS = ModelApi("embeddings", "/v1/embeddings", "input", output_caps=())
MODEL_APIS = (CHAT_COMPLETIONS, MESSAGES, RESPONSES, EMBEDDINGS)
