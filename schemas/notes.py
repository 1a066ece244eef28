"""Ed25519 keys and signed notes: a text that anybody can check with the public key alone. Pure.

A note is the form that C2SP calls a signed note: the text (which ends with a newline), an empty line, and a line
`— <name> <base64 of the key's 4-byte id and the 64-byte signature>`. A checkpoint is a note whose text is the ledger's name,
the number of sealed entries, the tree's root in base64, and the time.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

LEDGER_NAME = "tollbook/ledger"
ED25519 = b"\x01"
MAX_NOTE_BYTES = 4096
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_VERIFIER_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_NOTE = re.compile(r"((?:[^\n]+\n)+)\n\u2014 (\S+) ([A-Za-z0-9+/]{91}=)\n")
_CHECKPOINT = re.compile(r"(\S+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\ntime (\S{27})\n")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class KeyFormatError(ValueError):
    """What was given is no key: give 64 hexadecimal digits, a PEM file, or the reply of /v1/signing-keys."""


class NoteError(ValueError):
    """The note is not what its key signed: do not believe it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with."""

    raw: bytes

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the key, from the ledger's name and the key itself."""
        return sha256(LEDGER_NAME.encode() + b"\n" + ED25519 + self.raw).hexdigest()[:8]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's under exactly this message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def described(self, status: str) -> dict[str, str]:
        """The key in every form that `parse_keys` reads, for publishing."""
        pem = Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        coded = base64.b64encode(ED25519 + self.raw).decode()
        return {
            "key_id": self.id,
            "algorithm": "ed25519",
            "public_key": self.raw.hex(),
            "pem": pem.decode(),
            "verifier_key": f"{LEDGER_NAME}+{self.id}+{coded}",
            "status": status,
        }


Keys = Mapping[str, PublicKey]
"""Public keys by their ids: today's and those that it replaced."""


class SigningKey:
    """The secret half. Its text forms never show it."""

    def __init__(self, seed_hex: str) -> None:
        if not _HEX_KEY.fullmatch(seed_hex):
            raise KeyFormatError("a signing key is 32 random bytes as 64 hexadecimal digits")
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed_hex))
        self.public = PublicKey(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        """The signature of 64 bytes."""
        return self._key.sign(message)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ledger's promise: these were all entries, in this order, at that time."""

    size: int
    root: bytes
    at: datetime

    def signed(self, key: SigningKey) -> str:
        """The checkpoint as a note."""
        root = base64.b64encode(self.root).decode()
        at = self.at.astimezone(UTC).strftime(_TIME)
        return sign_note(f"{LEDGER_NAME}\n{self.size}\n{root}\ntime {at}\n", key)


def sign_note(body: str, key: SigningKey) -> str:
    """The text with its signature line; it must end with a newline and have no empty line."""
    coded = base64.b64encode(bytes.fromhex(key.public.id) + key.sign(body.encode())).decode()
    return f"{body}\n\u2014 {LEDGER_NAME} {coded}\n"


def open_note(note: str, keys: Keys) -> tuple[str, PublicKey]:
    """The text of a note and the key that signed it. Raises NoteError unless one of the keys signed every byte of it."""
    found = _NOTE.fullmatch(note) if len(note) <= MAX_NOTE_BYTES else None
    if found is None:
        raise NoteError("it does not have the form of a signed note")
    body, name, coded = found.groups()
    try:
        message = body.encode()
    except UnicodeEncodeError:
        raise NoteError("its text is not UTF-8") from None
    signed = _base64(coded)
    key = keys.get(signed[:4].hex())
    if name != LEDGER_NAME or key is None:
        raise NoteError(f"it is signed with key {signed[:4].hex()}, which is not among the keys given ({', '.join(keys)})")
    if not key.verifies(signed[4:], message):
        raise NoteError(f"the signature of key {key.id} does not fit its text")
    return body, key


def open_checkpoint(note: str, keys: Keys) -> Checkpoint:
    """The checkpoint in a note. Raises NoteError as `open_note` does, or for a text that is no checkpoint."""
    return read_checkpoint(open_note(note, keys)[0])


def read_checkpoint(body: str) -> Checkpoint:
    """The checkpoint in a text, whoever signed it: the lines before the signature. Raises NoteError."""
    found = _CHECKPOINT.fullmatch(body)
    if found is None or found[1] != LEDGER_NAME:
        raise NoteError("it is not a checkpoint of this ledger")
    try:
        at = datetime.strptime(found[4], _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise NoteError("its time cannot be read") from None
    return Checkpoint(size=int(found[2]), root=_base64(found[3]), at=at)


def parse_keys(given: str) -> dict[str, PublicKey]:
    """Public keys from hexadecimal digits, PEM, a verifier key, or the JSON of /v1/signing-keys. Raises KeyFormatError."""
    text = given.strip()
    if text.startswith("{"):
        return _listed(text)
    raw = _raw_key(text)
    key = PublicKey(raw)
    try:
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise KeyFormatError("the key is not a point of Ed25519's curve") from None
    return {key.id: key}


def _listed(text: str) -> dict[str, PublicKey]:
    try:
        listed = json.loads(text)["data"]
        found = [parse_keys(entry["public_key"]) for entry in listed]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFormatError("the JSON is not the reply of /v1/signing-keys") from error
    return {key_id: key for each in found for key_id, key in each.items()}


def _raw_key(text: str) -> bytes:
    if _HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    if text.startswith("-----BEGIN"):
        try:
            loaded: Any = load_pem_public_key(text.encode())
        except ValueError as error:
            raise KeyFormatError("the PEM holds no public key that can be read") from error
        if isinstance(loaded, Ed25519PublicKey):
            return loaded.public_bytes(Encoding.Raw, PublicFormat.Raw)
        raise KeyFormatError("the PEM holds a key of another kind: receipts are signed with Ed25519")
    found = _VERIFIER_KEY.fullmatch(text)
    if found and (raw := _base64_key(found[3])) and PublicKey(raw).id == found[2]:
        return raw
    raise KeyFormatError("a public key is 64 hexadecimal digits, PEM, a verifier key, or the JSON of /v1/signing-keys")


def _base64_key(coded: str) -> bytes | None:
    try:
        raw = base64.b64decode(coded, validate=True)
    except binascii.Error:
        return None
    return raw[1:] if len(raw) == 33 and raw[:1] == ED25519 else None


def _base64(coded: str) -> bytes:
    """Exact base64: nothing but the one text that encodes the bytes is taken. Raises NoteError."""
    raw = base64.b64decode(coded, validate=True)
    if base64.b64encode(raw).decode() != coded:
        raise NoteError("its base64 has stray bits")
    return raw
