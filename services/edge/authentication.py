"""From a request's headers to the caller behind them."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Scope

from services.edge import metrics
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.caller import Caller, KeyRow
from services.edge.client_address import ClientAddresses, within
from services.edge.errors import ForbiddenError, InvalidApiKeyError, UnavailableError
from services.edge.key_cache import KeyCache

MAX_TOKEN_LENGTH = 256
MAX_LOOKUPS = 3
FindKey = Callable[[str], Awaitable[KeyRow | None]]


def presented_token(headers: Mapping[bytes, bytes]) -> str:
    """The token of `Authorization: Bearer` or `x-api-key`. Raises :class:`InvalidApiKeyError` where there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidApiKeyError("The Authorization header must be 'Bearer' followed by an API key.")
        token = token.strip()
    else:
        token = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    if not token:
        raise InvalidApiKeyError("You didn't provide an API key. Send it as 'Authorization: Bearer sk-tb-…'.")
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidApiKeyError()
    return token


class Authenticator:
    """Proves tokens: first from memory, then by their checksum, at last by Postgres and the pepper."""

    def __init__(self, cache: KeyCache, peppers: Peppers, find_key: FindKey, addresses: ClientAddresses | None = None) -> None:
        self._cache = cache
        self._peppers = peppers
        self._find_key = find_key
        self._addresses = addresses or ClientAddresses()

    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The caller behind the headers, standing not yet checked. Raises :class:`InvalidApiKeyError`."""
        token = presented_token(headers)
        handle = self._cache.handle(token)
        known, caller = self._cache.find(handle)
        if not known:
            caller = await self._prove(token, handle)
        if caller is None:
            raise InvalidApiKeyError()
        return caller

    def require_place(self, caller: Caller, scope: Scope) -> None:
        """Raise :class:`ForbiddenError` where the key may not be used from where the call came from.

        The address stays out of the message: messages are recorded.
        """
        if caller.networks is None:
            return
        peer = scope.get("client")
        if not within(self._addresses.find(peer[0] if peer else None, scope["headers"]), caller.networks):
            metrics.ADDRESSES_REFUSED.inc()
            raise ForbiddenError(
                "ip_not_allowed", "This API key may not be used from this address; its allow-list says from where."
            )

    async def _prove(self, token: str, handle: bytes) -> Caller | None:
        presented = PresentedKey.parse(token)
        if presented is None:
            return None
        for _ in range(MAX_LOOKUPS):
            generation = self._cache.generation
            caller = self._check(presented, await self._find_key(presented.key_id))
            if self._cache.keep(handle, caller, generation):
                return caller
        raise UnavailableError("key_changing", "Many keys are changing at this moment. Try again.")

    def _check(self, presented: PresentedKey, row: KeyRow | None) -> Caller | None:
        """The caller, if the secret is the row's present one or the one before; both are compared, whichever is right."""
        if row is None:
            return None
        present = self._peppers.verifies(presented.secret, row.pepper_version, row.secret_hmac)
        previous = (
            row.previous_hmac is not None
            and row.previous_pepper_version is not None
            and self._peppers.verifies(presented.secret, row.previous_pepper_version, row.previous_hmac)
        )
        return Caller.of(row, by_previous_secret=not present) if present or previous else None
