"""What router and settlement ask of edge: who a key is now, for the lines of batches to come, and which accounts there are."""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from schemas.batches import LineCaller
from schemas.calls import AccountFound, AccountsFound, RouteLimit
from schemas.envelope import Contract
from services.edge.caller import Caller, KeyRow
from services.edge.errors import (
    ApiError,
    InvalidApiKeyError,
    NotFoundError,
    StoreUnavailableError,
    UnavailableError,
    UnprocessableError,
)
from services.edge.memberships import Memberships
from services.edge.replies import JSON_TYPE, Reply, send_error

log = structlog.get_logger(__name__)

FindKey = Callable[[str], Awaitable[KeyRow | None]]
FindAccount = Callable[[str], Awaitable[bool]]
MAX_KEY_ID = 64
MAX_ACCOUNTS = 100
MAX_ACCOUNT_ID = 128


class InternalEndpoint(ABC):
    """A question of one other service, which presents its token."""

    def __init__(self, asker: str, token: str) -> None:
        self._asker = asker
        self._expected = f"Bearer {token}".encode()
        self._has_token = bool(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = dict(scope["headers"]).get(b"authorization", b"")
        if not (self._has_token and hmac.compare_digest(presented, self._expected)):
            refusal = InvalidApiKeyError(f"This call needs {self._asker}'s token as 'Authorization: Bearer'.")
            refusal.code = "unauthorized"
            await send_error(send, refusal)
            return
        try:
            answer = await self._answer(Request(scope, receive))
        except ApiError as error:
            await send_error(send, error)
        except StoreUnavailableError as error:
            log.warning("postgres is away", error=str(error))
            await send_error(send, UnavailableError("store_unavailable", "Nothing can be looked up now."))
        else:
            await Reply(200, answer.to_json(), [JSON_TYPE])(scope, receive, send)

    @abstractmethod
    async def _answer(self, request: Request) -> Contract:
        """What is answered with 200. Raises an ApiError for every other answer."""


class AccountsEndpoint(InternalEndpoint):
    """`GET /internal/accounts?id=…&id=…`: those of them that there are, frozen ones too."""

    def __init__(self, token: str, find_account: FindAccount) -> None:
        super().__init__("settlement", token)
        self._find_account = find_account

    async def _answer(self, request: Request) -> AccountsFound:
        asked = request.query_params.getlist("id")
        if len(asked) > MAX_ACCOUNTS:
            raise UnprocessableError("invalid_value", f"At most {MAX_ACCOUNTS} accounts are asked for at once.", param="id")
        usable = [each for each in asked if len(each) <= MAX_ACCOUNT_ID and "\x00" not in each]
        return AccountsFound(data=[AccountFound(account_id=each) for each in usable if await self._find_account(each)])


class KeyEndpoint(InternalEndpoint):
    """`GET /internal/keys/{key_id}/caller?run_id=`: 401 revoked or expired, 403 frozen, 404 none of that id."""

    def __init__(self, token: str, find_key: FindKey, memberships: Memberships) -> None:
        super().__init__("router", token)
        self._find_key = find_key
        self._memberships = memberships

    async def _answer(self, request: Request) -> LineCaller:
        return _described(await self._caller(request))

    async def _caller(self, request: Request) -> Caller:
        key_id = request.path_params["key_id"]
        row = await self._find_key(key_id) if len(key_id) <= MAX_KEY_ID else None
        if row is None:
            raise NotFoundError("key_not_found", "There is no API key of this id any more.", param="key_id")
        caller = Caller.of(row)
        caller.require_standing()
        run_id = request.query_params.get("run_id")
        return caller if run_id is None else await self._memberships.join(caller, run_id)


def _described(caller: Caller) -> LineCaller:
    limits = [
        RouteLimit(kind=step.kind, id=step.id, route_types=step.policy.route_types)
        for step in caller.steps
        if step.policy.route_types is not None
    ]
    return LineCaller(
        account_id=caller.account_id,
        key=caller.key,
        environment=caller.environment,
        policy=caller.policy,
        route_limits=limits,
        expires_at=None if caller.expires_at_s is None else datetime.fromtimestamp(caller.expires_at_s, UTC),
    )
