"""From a request's headers to the caller behind them."""

from collections.abc import Awaitable, Callable, Mapping

from services.edge.api_keys import Peppers, PresentedKey
from services.edge.caller import Caller, KeyRow
from services.edge.errors import InvalidApiKeyError, UnavailableError
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

    def __init__(self, cache: KeyCache, peppers: Peppers, find_key: FindKey) -> None:
        self._cache = cache
        self._peppers = peppers
        self._find_key = find_key

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
        if row is None or not self._peppers.verifies(presented.secret, row.pepper_version, row.secret_hmac):
            return None
        return Caller.of(row)
