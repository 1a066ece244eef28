"""The API key: how it is written, minted, checked and proven.

`sk-tb-<public id>-<secret><checksum>`: 12 base62 characters that may be logged, 43 that may not (256 bits), and 6 that are
the CRC-32 of everything before them, so that a typo is told apart without asking the database.
"""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

PREFIX = "sk-tb-"
PUBLIC_ID_LENGTH = 12
SECRET_LENGTH = 43
CHECKSUM_LENGTH = 6
REST_LENGTH = PUBLIC_ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
TOKEN_LENGTH = len(PREFIX) + REST_LENGTH
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = frozenset(ALPHABET)


def random_text(length: int) -> str:
    """So many base62 characters from the system's randomness."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def checksum(text: str) -> str:
    """CRC-32 of ASCII text as six base62 characters."""
    value = zlib.crc32(text.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A token whose form is right; whether it is a key of ours only its digest tells."""

    prefix: ClassVar[str] = PREFIX
    key_id: str
    secret: str

    @classmethod
    def parse(cls, token: str) -> Self | None:
        """The parts of a token, None where its form or its checksum is wrong."""
        if len(token) != len(cls.prefix) + REST_LENGTH or not token.startswith(cls.prefix):
            return None
        key_id, dash, rest = token[len(cls.prefix) :].partition("-")
        if len(key_id) != PUBLIC_ID_LENGTH or not dash or not _DIGITS.issuperset(key_id + rest):
            return None
        if checksum(token[:-CHECKSUM_LENGTH]) != token[-CHECKSUM_LENGTH:]:
            return None
        return cls(key_id, rest[:-CHECKSUM_LENGTH])

    @classmethod
    def mint(cls) -> Self:
        """A new key."""
        return cls(random_text(PUBLIC_ID_LENGTH), random_text(SECRET_LENGTH))

    def token(self) -> str:
        """The text that the client presents: shown once, never stored."""
        body = f"{self.prefix}{self.key_id}-{self.secret}"
        return body + checksum(body)

    def __repr__(self) -> str:
        """Without the secret, so that no log can carry it."""
        return f"{type(self).__name__}({self.key_id})"


class Peppers:
    """The versioned secrets under which key secrets are hashed: the highest version signs, all of them verify."""

    def __init__(self, by_version: Mapping[int, bytes]) -> None:
        if not by_version:
            raise ValueError("at least one pepper is needed: set TOLLBOOK_KEY_PEPPERS")
        self._by_version = dict(by_version)
        self.current = max(self._by_version)

    def digest(self, secret: str, version: int) -> bytes:
        """HMAC-SHA256 of the secret; KeyError for a version that is no longer configured."""
        return hmac.new(self._by_version[version], secret.encode("ascii"), hashlib.sha256).digest()

    def verifies(self, secret: str, version: int, expected: bytes) -> bool:
        """Whether the secret hashes to `expected`, compared in constant time. An unknown version verifies nothing."""
        if version not in self._by_version:
            return False
        return hmac.compare_digest(self.digest(secret, version), expected)
