"""Channel secrets at rest: AES-256-GCM under the operator's keys, bound to tenant, provider and origin. Pure.

A secret that is sealed now is of form 2: bound to tenant, channel, brand, dialect and origin, under a key that
its id names. Form 1 was bound to channel and origin alone and named no key: it opens under whichever key made it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.router.errors import SecretUnreadableError

NONCE_BYTES = 12
FORM = 2


class Home(NamedTuple):
    """What a secret is for. Moved to anything else, a sealed secret does not open."""

    channel_id: str
    brand: str
    dialect: str
    origin: str


class Sealed(NamedTuple):
    """A secret as it is stored. `key_id` is None in form 1."""

    nonce: bytes
    sealed: bytes
    form: int = 1
    key_id: str | None = None


class Vault:
    """Seals under the current key, opens under it and under the keys that it replaced."""

    def __init__(self, tenant: str, key: bytes, former: Sequence[bytes] = ()) -> None:
        self._tenant = tenant
        self._aeads = {key_id_of(each): AESGCM(each) for each in (*former, key)}
        self._fingerprint_keys = [hmac.new(each, b"tollbook fingerprint", sha256).digest() for each in (key, *former)]
        self.key_id = key_id_of(key)

    def seal(self, secret: str, home: Home, nonce: bytes) -> Sealed:
        """The secret, sealed. `nonce` is 12 random bytes, never used twice."""
        sealed = self._aeads[self.key_id].encrypt(nonce, secret.encode(), self._bound_to(home))
        return Sealed(nonce, sealed, FORM, self.key_id)

    def open(self, sealed: Sealed, home: Home) -> str:
        """The secret. Raises :class:`SecretUnreadableError`."""
        if sealed.form == 1:
            return self._first(sealed, home, list(self._aeads.values()), _bound_to_origin(home))
        aead = self._aeads.get(sealed.key_id or "")
        if sealed.form != FORM or aead is None:
            raise SecretUnreadableError(
                f"channel {home.channel_id}: its secret was sealed under the secrets key {sealed.key_id} (form {sealed.form}),"
                " which is not set: start router again with that key in TOLLBOOK_FORMER_SECRETS_KEYS, or post the table anew"
            )
        return self._first(sealed, home, [aead], self._bound_to(home))

    def is_current(self, sealed: Sealed) -> bool:
        """Whether the secret needs no sealing anew."""
        return (sealed.form, sealed.key_id) == (FORM, self.key_id)

    def fingerprint(self, content: bytes) -> bytes:
        """A keyed hash: equal content is recognised, and nobody without the key can guess a secret by it."""
        return self.fingerprints(content)[0]

    def fingerprints(self, content: bytes) -> list[bytes]:
        """The keyed hash under each key, the current one's first."""
        return [hmac.new(key, content, sha256).digest() for key in self._fingerprint_keys]

    def _bound_to(self, home: Home) -> bytes:
        return orjson.dumps(["tollbook-channel", FORM, self._tenant, *home])

    @staticmethod
    def _first(sealed: Sealed, home: Home, aeads: list[AESGCM], bound_to: bytes) -> str:
        for aead in aeads:
            try:
                return aead.decrypt(sealed.nonce, sealed.sealed, bound_to).decode()
            except (InvalidTag, UnicodeDecodeError):
                continue
        raise SecretUnreadableError(
            f"channel {home.channel_id}: its secret does not open for {home.brand}/{home.dialect} at {home.origin} with these"
            " secrets keys and this TOLLBOOK_TENANT"
        )


def key_id_of(key: bytes) -> str:
    """The id of a secrets key: it tells keys apart and nothing of them."""
    return sha256(b"tollbook secrets key id\x00" + key).hexdigest()[:8]


def _bound_to_origin(home: Home) -> bytes:
    return f"tollbook-channel\x00{home.channel_id}\x00{home.origin}".encode()
