"""Wire formats: one file each. A dialect reads requests into an `Ask` and writes replies from one; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from deploy.local.provider.ask import Ask, Shape, Usage
from deploy.local.provider.errors import RefusedError

Headers = Sequence[tuple[bytes, bytes]]


class Events(NamedTuple):
    """A stream's events, unframed. After `lead` events without tokens, `span` events carry all of them."""

    events: list[bytes]
    lead: int
    span: int


class Stamp(NamedTuple):
    """The identity of one reply: an id, when it was made (Unix seconds), and what the dialect writes before the id."""

    id: bytes
    created: int
    prefix: bytes = b"chatcmpl-"

    @property
    def reply_id(self) -> str:
        """The id as the reply says it."""
        return (self.prefix + self.id).decode()


class Dialect(Protocol):
    """One provider's wire format."""

    id_prefix: bytes
    """What stands before a reply's id."""

    request_id_header: bytes
    """The header that carries the request's id in a reply."""

    marker: bytes | None
    """A header that only this dialect's clients send: tells apart who asks for models at the same path."""

    models_paths: tuple[bytes, ...]
    """The paths below the channel where the models are listed; one model is below such a path."""

    def at(self, path: bytes, query: bytes) -> Dialect | None:
        """Who answers completions at this path below the channel; None where the path asks for none."""

    def authorize(self, headers: Headers) -> None:
        """Raise RefusedError (401, 403) where the request carries no credential."""

    def parse(self, raw: bytes) -> dict[str, Any]:
        """The body as an object. Raises RefusedError (400)."""

    def shape(self, body: dict[str, Any]) -> Shape:
        """The body's form. Never raises, whatever the body holds."""

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply. Raises RefusedError (400)."""

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """The body of a plain reply."""

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """The events of a streamed reply, to its very end."""

    def refusal(self, refused: RefusedError, stamp: Stamp | None = None) -> bytes:
        """The error body for a request that is wrong."""

    def failure(self, status: int, usage: Usage | None = None, stamp: Stamp | None = None) -> bytes:
        """The error body for a provider that fails; `usage` is what it had burned by then."""

    def models(self) -> bytes:
        """The body of the list of models."""

    def model(self, model_id: str) -> bytes:
        """The body for one model. Raises RefusedError (404)."""
