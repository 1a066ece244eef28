"""Whether the client is still there, asked without waiting and without a task per request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def has_gone(receive: Receive) -> bool:
    """Whether the server has told that the client disconnected. Only after the whole body has been received.

    The server's `receive` is stepped once: it either returns (the disconnection is known) or wants to wait, and is dropped.
    """
    waiting = receive().__await__()
    try:
        next(waiting)
    except StopIteration as stop:
        return bool(stop.value["type"] == "http.disconnect")
    waiting.close()
    return False
