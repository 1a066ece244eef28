"""Who a batch's key is now, asked of edge before each line and remembered for a moment."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import httpx
import orjson
from pydantic import ValidationError

from schemas.batches import LineCaller
from schemas.envelope import now
from services.router.errors import BatchStopsError, KeysUnavailableError

REMEMBERED_S = 2.0
"""How long a change of policy, a freeze or a revocation may go unnoticed by lines that are about to begin."""
REMEMBERED = 1_000
STOPPING = frozenset({401, 403, 404})


class Callers:
    """Answers for keys within their runs."""

    def __init__(self, client: httpx.AsyncClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[str, str | None], tuple[float, LineCaller]] = {}

    async def now(self, key_id: str, run_id: str | None) -> LineCaller:
        """The key with its policies. Raises :class:`BatchStopsError` for one that may ask nothing any more,
        :class:`KeysUnavailableError` where edge does not answer."""
        known = self._known.get((key_id, run_id))
        if known is not None and known[0] > self._clock() and not _expired(known[1]):
            return known[1]
        caller = await self._ask(key_id, run_id)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key_id, run_id] = (self._clock() + REMEMBERED_S, caller)
        return caller

    async def _ask(self, key_id: str, run_id: str | None) -> LineCaller:
        path = f"/internal/keys/{quote(key_id, safe='')}/caller"
        try:
            reply = await self._client.get(path, params=None if run_id is None else {"run_id": run_id})
        except httpx.HTTPError as exc:
            raise KeysUnavailableError(f"edge did not answer: {type(exc).__name__}") from exc
        if reply.status_code in STOPPING and (error := error_of(reply.content)) is not None:
            raise BatchStopsError(*error)
        if reply.status_code != 200:
            raise KeysUnavailableError(f"edge answered {reply.status_code}")
        try:
            return LineCaller.model_validate_json(reply.content)
        except ValidationError as exc:
            raise KeysUnavailableError("edge's answer cannot be read") from exc


def _expired(caller: LineCaller) -> bool:
    return caller.expires_at is not None and caller.expires_at <= now()


def error_of(body: bytes) -> tuple[str, str] | None:
    """Code and message of an error of edge's, None where the body is something else: a proxy's, or another service's."""
    try:
        error = orjson.loads(body)["error"]
        code, message = error["code"], error["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    known = isinstance(code, str) and isinstance(message, str) and code not in {"unauthorized", "unknown_url"}
    return (code, message) if known else None
