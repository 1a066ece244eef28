"""What router asks of a wire format. Inside, every request and reply has the shape of OpenAI's chat completions. Pure.

A dialect translates a request on its way out and a reply on its way in. What has no meaning in it is refused by the name of the
parameter, so that nothing is dropped in silence; another candidate of the plan may still understand it.
"""

from __future__ import annotations

from typing import Protocol

import orjson

from services.router.ask import Ask
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import UpstreamError


class Dialect(Protocol):
    """One wire format."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """What follows the channel's base URL."""
        ...

    def headers(self, secret: str) -> dict[str, str]:
        """What authenticates the channel, and the body's type."""
        ...

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The request for the upstream, with the hold's cap. Raises :class:`UpstreamError` (400) naming the parameter."""
        ...

    def read_reply(self, body: bytes) -> Reply:
        """The reply in the body of a 200. Raises :class:`UpstreamError` (malformed_reply)."""
        ...

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """What an answer other than 200 means."""
        ...

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """A reader of one streamed reply."""
        ...


def refuse_untranslated(ask: Ask) -> None:
    """Raise the refusal of what the client's API can say and chat completions cannot."""
    if ask.untranslated:
        raise no_meaning(ask.untranslated[0], f"{ask.untranslated[0]} has no meaning for the provider of this route.")


def no_meaning(param: str, message: str) -> UpstreamError:
    """The refusal of a parameter that the dialect cannot say; another candidate may. Nothing is sent then."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_parameter"}
    return UpstreamError("not_translatable", "next", status=400, body=orjson.dumps({"error": error}))
