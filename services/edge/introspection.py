"""`POST /internal/introspect`: whose access token is this? Asked by the other services for each admin call of a user."""

import hmac
from collections.abc import Sequence

import structlog
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from schemas.access import Introspection, IntrospectionAsk
from services.edge.bodies import BodyReader
from services.edge.errors import (
    ApiError,
    ClientGoneError,
    InvalidApiKeyError,
    StoreUnavailableError,
    UnavailableError,
    UnprocessableError,
)
from services.edge.identities import Identities
from services.edge.replies import JSON_TYPE, Reply, send_error

log = structlog.get_logger(__name__)


class IntrospectEndpoint:
    """Answers in RFC 7662's words to whoever presents one of these services' tokens."""

    def __init__(self, tokens: Sequence[str], identities: Identities, bodies: BodyReader) -> None:
        self._expected = [f"Bearer {token}".encode() for token in tokens if token]
        self._identities = identities
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        presented = headers.get(b"authorization", b"")
        if not any([hmac.compare_digest(presented, each) for each in self._expected]):
            refusal = InvalidApiKeyError(
                "This call needs the token of settlement, router or analytics as 'Authorization: Bearer'."
            )
            refusal.code = "unauthorized"
            await send_error(send, refusal)
            return
        try:
            answer = await self._answer(await self._bodies.read(headers, receive))
        except ClientGoneError:
            return
        except ApiError as error:
            await send_error(send, error)
        except StoreUnavailableError as error:
            log.warning("postgres is away", error=str(error))
            await send_error(send, UnavailableError("store_unavailable", "Tokens cannot be looked up now."))
        else:
            await Reply(200, answer.model_dump_json(exclude_defaults=True).encode(), [JSON_TYPE])(scope, receive, send)

    async def _answer(self, body: bytes) -> Introspection:
        try:
            asked = IntrospectionAsk.model_validate_json(body)
        except ValidationError:
            raise UnprocessableError("invalid_value", 'The body must be {"token": …}.', param="token") from None
        identity = await self._identities.find(asked.token)
        if identity is None:
            return Introspection(active=False)
        who = identity.principal
        return Introspection(
            active=True, user_id=who.user_id, name=who.name, grants=list(who.grants), expires_at=identity.expires_at
        )
