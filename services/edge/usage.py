"""`GET /v1/usage`: what the account used and was charged, by whatever one asks for, as analytics has it."""

from urllib.parse import quote

import httpx
from starlette.requests import Request

from services.edge.caller import Caller
from services.edge.errors import ApiError, PassedOnError, PeerUnavailableError, UnavailableError
from services.edge.replies import Reply
from services.edge.settlement import json_object

TIMEOUT_S = 30.0
CSV = "text/csv"
HEADERS = ("content-type", "content-disposition")
ONCE = (
    "from", "to", "timezone", "by", "interval", "project_id", "key_id", "run_id", "model", "upstream_model", "route_type",
    "bucket", "after", "limit", "format",
)  # fmt: skip
"""What of a query is passed on, and so means something: channels are the operator's business."""


class Usage:
    """Asks about the caller's account alone."""

    def __init__(self, analytics: httpx.AsyncClient | None) -> None:
        self._analytics = analytics

    async def report(self, request: Request, caller: Caller) -> Reply:
        """JSON, or CSV with `?format=csv` or `Accept: text/csv`."""
        if self._analytics is None:
            raise UnavailableError("unavailable", "This installation has no analytics: ask its operator.")
        asked = request.query_params
        once = {name: [asked[name]] for name in ONCE if name in asked}
        query = once | {"tag": asked.getlist("tag")}
        accepts = CSV if request.headers.get("accept", "").startswith(CSV) else "application/json"
        path = f"/internal/accounts/{quote(caller.account_id, safe='')}/usage"
        try:
            reply = await self._analytics.get(path, params=query, headers={"accept": accepts}, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"analytics cannot be reached: {error!r}") from error
        if reply.status_code == 400:
            raise _refused(reply)
        if reply.status_code != 200:
            raise PeerUnavailableError(f"analytics answered {reply.status_code} to {path}")
        kept = [(name.encode(), reply.headers[name].encode("latin-1")) for name in HEADERS if name in reply.headers]
        return Reply(200, reply.content, kept)


def _refused(reply: httpx.Response) -> ApiError:
    error = json_object(reply).get("error")
    if isinstance(error, dict) and error.get("message") and error.get("code"):
        return PassedOnError(400, error)
    raise PeerUnavailableError("analytics answered 400 without saying why")
