"""Who makes an admin call: the installation's admin token or a user's access token, asked for before anything else."""

import hmac
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import structlog
from fastapi import Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.access import ROOT, Principal
from schemas.envelope import new_id
from services.edge.client_address import ClientAddresses
from services.edge.errors import InvalidApiKeyError, StoreUnavailableError, UnavailableError
from services.edge.identities import Identities, Identity
from services.edge.replies import send_error

log = structlog.get_logger(__name__)

ACTOR: Final = "actor"
MAX_TOKEN_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls, by which call, from where. `identity` is None for the admin token."""

    principal: Principal
    request_id: UUID
    client_ip: str | None = None
    identity: Identity | None = None

    def author(self, named: str) -> str:
        """Who is recorded: with the admin token whoever the call names, else the user, whatever the call says."""
        return named if self.principal.root else self.principal.author


class AccessGuard:
    """Lets through who presents a token that counts, and answers 401 to everybody else."""

    def __init__(
        self, app: ASGIApp, admin_token: str, identities: Identities, addresses: ClientAddresses | None = None
    ) -> None:
        self._app = app
        self._admin_token = admin_token.encode()
        self._identities = identities
        self._addresses = addresses or ClientAddresses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_id()
        answer = _Named(send, request_id)
        try:
            found = await self._who(dict(scope["headers"]).get(b"authorization", b""))
        except StoreUnavailableError as error:
            log.warning("postgres is away", error=str(error))
            await send_error(answer, UnavailableError("store_unavailable", "The store cannot answer now. Try again."))
            return
        if found is None:
            message = "This call needs the admin token or a user's access token (tbu-…) as 'Authorization: Bearer'."
            await send_error(answer, InvalidApiKeyError(message))
            return
        principal, identity = found
        client = scope.get("client")
        address = self._addresses.find(client[0] if client else None, scope["headers"])
        actor = Actor(principal, request_id, None if address is None else str(address), identity)
        scope.setdefault("state", {})[ACTOR] = actor
        await self._app(scope, receive, answer)

    async def _who(self, authorization: bytes) -> tuple[Principal, Identity | None] | None:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        if hmac.compare_digest(token, self._admin_token):
            return ROOT, None
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        identity = await self._identities.find(token.decode("latin-1"))
        return None if identity is None else (identity.principal, identity)


class _Named:
    """A send channel that tells the call's id, under which the record of changes has it."""

    def __init__(self, send: Send, request_id: UUID) -> None:
        self._send = send
        self._header = (b"x-request-id", str(request_id).encode())

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        await self._send(message)


def actor_of(request: Request) -> Actor:
    """Who makes this call."""
    actor = request.scope["state"][ACTOR]
    assert isinstance(actor, Actor)
    return actor


By = Annotated[Actor, Depends(actor_of)]
