"""What delivering a stream needs of its reader, whatever the upstream's and the client's formats are."""

from __future__ import annotations

from typing import Any, Protocol

from schemas.money import Usage


class StreamReader(Protocol):
    """One upstream stream on its way to a client. The members are those of `ChatStream`."""

    @property
    def tokens_seen(self) -> int:
        """A lower bound of the output tokens that were passed on."""
        ...

    @property
    def capped(self) -> bool:
        """Whether the upstream went beyond its cap."""
        ...

    @property
    def done(self) -> bool:
        """Whether the upstream said its last word."""
        ...

    @property
    def started(self) -> bool:
        """Whether the first chunk has come."""
        ...

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that the upstream sent in the stream."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported."""
        ...

    @property
    def prompt(self) -> Usage | None:
        """What the upstream reported of the prompt before the end."""
        ...

    @property
    def upstream_id(self) -> str | None:
        """The provider's id of the reply."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every choice has its finish reason."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The bytes that may go to the client now. Raises :class:`StreamMalformedError`."""
        ...

    def ending(self, usage: Usage, cost: dict[str, str], *, include_usage: bool, capped: bool = False) -> bytes:
        """The held end, with the cost."""
        ...

    def failure(self, document: dict[str, Any]) -> bytes:
        """The event that ends a stream which broke."""
        ...
