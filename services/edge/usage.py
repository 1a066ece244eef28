"""`GET /v1/usage` and `/v1/usage/explain`: what the account used and was charged, and why that changed, as analytics has it."""

from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.edge.caller import Caller
from services.edge.errors import ApiError, PassedOnError, PeerUnavailableError, UnavailableError
from services.edge.replies import Reply
from services.edge.settlement import json_object

TIMEOUT_S = 30.0
CSV = "text/csv"
HEADERS = ("content-type", "content-disposition")
ONCE = (
    "from", "to", "timezone", "by", "interval", "project_id", "key_id", "run_id", "model", "upstream_model", "route_type",
    "channel", "bucket", "after", "limit", "format",
)  # fmt: skip
"""What of a query is passed on. Channels are the operator's business: analytics refuses them rather than tell of all."""
EXPLAINED = (
    "from", "to", "against_from", "against_to", "timezone", "project_id", "key_id", "run_id", "model", "upstream_model",
    "route_type", "channel", "bucket",
)  # fmt: skip
"""The same of an explanation."""


class Usage:
    """Asks about the caller's account alone."""

    def __init__(self, analytics: httpx.AsyncClient | None) -> None:
        self._analytics = analytics

    async def report(self, request: Request, caller: Caller) -> Reply:
        """JSON, or CSV with `?format=csv` or `Accept: text/csv`."""
        return await self._passed_on(request, caller, "usage", ONCE)

    async def explain(self, request: Request, caller: Caller) -> Reply:
        """Why cost changed from one span to another."""
        return await self._passed_on(request, caller, "usage/explain", EXPLAINED)

    async def _passed_on(self, request: Request, caller: Caller, what: str, once: Iterable[str]) -> Reply:
        if self._analytics is None:
            raise UnavailableError("unavailable", "This installation has no analytics: ask its operator.")
        asked = request.query_params
        query = {name: [asked[name]] for name in once if name in asked} | {"tag": asked.getlist("tag")}
        accepts = CSV if request.headers.get("accept", "").startswith(CSV) else "application/json"
        path = f"/internal/accounts/{quote(caller.account_id, safe='')}/{what}"
        asking = self._analytics.build_request("GET", path, params=query, headers={"accept": accepts}, timeout=TIMEOUT_S)
        try:
            reply = await self._analytics.send(asking, stream=True)
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"analytics cannot be reached: {error!r}") from error
        if reply.status_code == 200 and reply.headers.get("content-type", "").startswith(CSV):
            return SheetReply(reply)
        return await _whole(reply, path)


class SheetReply(Reply):
    """A sheet as it comes. Where it breaks off the server cuts the connection, so that nobody takes it for whole."""

    def __init__(self, sheet: httpx.Response) -> None:
        super().__init__(200, b"", _kept(sheet))
        self._sheet = sheet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(
            self._pieces(), headers={name.decode(): value.decode("latin-1") for name, value in self.headers}
        )(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Ends, and lets analytics end, when the client has gone."""
        try:
            async for piece in self._sheet.aiter_bytes():
                yield piece
        finally:
            await self._sheet.aclose()


async def _whole(reply: httpx.Response, path: str) -> Reply:
    try:
        content = await reply.aread()
    except httpx.HTTPError as error:
        raise PeerUnavailableError(f"analytics broke off: {error!r}") from error
    finally:
        await reply.aclose()
    if reply.status_code == 400:
        raise _refused(reply)
    if reply.status_code != 200:
        raise PeerUnavailableError(f"analytics answered {reply.status_code} to {path}")
    return Reply(200, content, _kept(reply))


def _kept(reply: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), reply.headers[name].encode("latin-1")) for name in HEADERS if name in reply.headers]


def _refused(reply: httpx.Response) -> ApiError:
    error = json_object(reply).get("error")
    if isinstance(error, dict) and error.get("message") and error.get("code"):
        return PassedOnError(400, error)
    raise PeerUnavailableError("analytics answered 400 without saying why")
