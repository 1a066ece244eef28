"""What edge asks of router about batches that it let in."""

from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from schemas.batches import BatchProgress, BatchProgressList
from services.edge.errors import PeerUnavailableError


class RouterBatches:
    """Every method raises :class:`PeerUnavailableError` where router does not answer as its contract says."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def progress(self, ids: Sequence[str]) -> dict[str, BatchProgress]:
        """How far the batches are, by id; those that router has not heard of yet are left out."""
        if not ids:
            return {}
        reply = await self._call("GET", "/internal/batches", params={"id": list(ids)})
        try:
            found = BatchProgressList.model_validate_json(reply.content).data
        except ValidationError as error:
            raise PeerUnavailableError("router's answer about batches cannot be read") from error
        return {each.batch_id: each for each in found}

    async def cancel(self, batch_id: str) -> None:
        """Have no more lines of the batch begun."""
        await self._call("POST", f"/internal/batches/{batch_id}/cancel")

    async def _call(self, method: str, path: str, params: dict[str, list[str]] | None = None) -> httpx.Response:
        try:
            reply = await self._client.request(method, path, params=params)
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"router cannot be reached: {error!r}") from error
        if reply.status_code not in (200, 202):
            raise PeerUnavailableError(f"router answered {reply.status_code} to {path}")
        return reply
