"""How far a stream is, for the hold that pays for it. Sync."""

from __future__ import annotations

from uuid import UUID


class StreamProgress:
    """One stream under way. Token counts are estimates, and 0 while nothing has come from upstream.

    `closed` becomes true when settlement says that its hold is no longer open."""

    __slots__ = ("closed", "hold_id", "input_tokens", "output_tokens", "reported_tokens")

    def __init__(self, hold_id: UUID) -> None:
        self.hold_id = hold_id
        self.input_tokens = 0
        self.output_tokens = 0
        self.reported_tokens = 0
        self.closed = False
