"""What router asks of edge: who a key is now, for the lines of batches that are still to come."""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from schemas.batches import LineCaller
from schemas.calls import RouteLimit
from services.edge.caller import Caller, KeyRow
from services.edge.errors import ApiError, InvalidApiKeyError, NotFoundError, StoreUnavailableError, UnavailableError
from services.edge.memberships import Memberships
from services.edge.replies import JSON_TYPE, Reply, send_error

log = structlog.get_logger(__name__)

FindKey = Callable[[str], Awaitable[KeyRow | None]]
MAX_KEY_ID = 64


class KeyEndpoint:
    """`GET /internal/keys/{key_id}/caller?run_id=`: 401 revoked or expired, 403 frozen, 404 none of that id."""

    def __init__(self, token: str, find_key: FindKey, memberships: Memberships) -> None:
        self._expected = f"Bearer {token}".encode()
        self._has_token = bool(token)
        self._find_key = find_key
        self._memberships = memberships

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = dict(scope["headers"]).get(b"authorization", b"")
        if not (self._has_token and hmac.compare_digest(presented, self._expected)):
            refusal = InvalidApiKeyError("This call needs router's token as 'Authorization: Bearer'.")
            refusal.code = "unauthorized"
            await send_error(send, refusal)
            return
        try:
            caller = await self._caller(Request(scope, receive))
        except ApiError as error:
            await send_error(send, error)
        except StoreUnavailableError as error:
            log.warning("postgres is away", error=str(error))
            await send_error(send, UnavailableError("store_unavailable", "Keys cannot be looked up now."))
        else:
            await Reply(200, _described(caller), [JSON_TYPE])(scope, receive, send)

    async def _caller(self, request: Request) -> Caller:
        key_id = request.path_params["key_id"]
        row = await self._find_key(key_id) if len(key_id) <= MAX_KEY_ID else None
        if row is None:
            raise NotFoundError("key_not_found", "There is no API key of this id any more.", param="key_id")
        caller = Caller.of(row)
        caller.require_standing()
        run_id = request.query_params.get("run_id")
        return caller if run_id is None else await self._memberships.join(caller, run_id)


def _described(caller: Caller) -> bytes:
    limits = [
        RouteLimit(kind=step.kind, id=step.id, route_types=step.policy.route_types)
        for step in caller.steps
        if step.policy.route_types is not None
    ]
    answer = LineCaller(
        account_id=caller.account_id,
        key=caller.key,
        environment=caller.environment,
        policy=caller.policy,
        route_limits=limits,
        expires_at=None if caller.expires_at_s is None else datetime.fromtimestamp(caller.expires_at_s, UTC),
    )
    return answer.to_json()
