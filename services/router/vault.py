"""Channel secrets at rest: AES-256-GCM under the operator's key, bound to the channel and its origin. Pure."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.router.errors import SecretUnreadableError

NONCE_BYTES = 12


class Sealed(NamedTuple):
    """A secret as it is stored."""

    nonce: bytes
    sealed: bytes


class Vault:
    """Seals and opens secrets. A sealed secret moved to another channel or another origin does not open."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._fingerprint_key = hmac.new(key, b"tollbook fingerprint", sha256).digest()

    def seal(self, secret: str, *, channel_id: str, origin: str, nonce: bytes) -> Sealed:
        """The secret, sealed. `nonce` is 12 random bytes, never used twice."""
        return Sealed(nonce, self._aead.encrypt(nonce, secret.encode(), _bound_to(channel_id, origin)))

    def open(self, sealed: Sealed, *, channel_id: str, origin: str) -> str:
        """The secret. Raises :class:`SecretUnreadableError`."""
        try:
            return self._aead.decrypt(sealed.nonce, sealed.sealed, _bound_to(channel_id, origin)).decode()
        except (InvalidTag, UnicodeDecodeError) as exc:
            raise SecretUnreadableError(
                f"channel {channel_id}: its secret does not open for {origin} with this secrets key"
            ) from exc

    def fingerprint(self, content: bytes) -> bytes:
        """A keyed hash: equal content is recognised, and nobody without the key can guess a secret by it."""
        return hmac.new(self._fingerprint_key, content, sha256).digest()


def _bound_to(channel_id: str, origin: str) -> bytes:
    return f"tollbook-channel\x00{channel_id}\x00{origin}".encode()
