"""What a receiver's variables hold: read when a message is sent, shown to nobody. Pure; the environment is handed in."""

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from schemas.alert_receivers import Receiver, secrets_of, url_fault, variable_of

SHORTEST = 6
"""A shorter text is a word, and would be cut out of ordinary sentences."""
HIDDEN = "[redacted]"


class NotConfiguredError(Exception):
    """A variable that a receiver names is missing or of no use: set it for analytics and start analytics again."""


def read(receiver: Receiver, environ: Mapping[str, str]) -> dict[str, str]:
    """Field → what its variable holds. Raises :class:`NotConfiguredError`, which names the variable and not its content."""
    return {field: _of(reference, environ) for field, reference in secrets_of(receiver).items()}


def address(receiver: Receiver, read_values: Mapping[str, str]) -> str:
    """The address that a receiver over HTTP is sent to. Raises :class:`NotConfiguredError`."""
    url = str(read_values.get("url") or getattr(receiver, "url", ""))
    fault = url_fault(url, allow_http=getattr(receiver, "allow_http", False))
    if fault is not None:
        raise NotConfiguredError(f"the address of the receiver: {fault}")
    return url


def without(text: str, secrets: Iterable[str]) -> str:
    """The text with each secret cut out, in the forms in which programs repeat what they were sent."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            for form in (secret, quote(secret, safe=""), quote(secret), base64.b64encode(secret.encode()).decode()):
                text = text.replace(form, HIDDEN)
    return text


def _of(reference: str, environ: Mapping[str, str]) -> str:
    name = variable_of(reference) or ""
    value = environ.get(name, "").strip()
    if not value:
        raise NotConfiguredError(f"the environment variable {name} is not set: set it for analytics and start analytics again")
    if not value.isascii() or not value.isprintable():
        raise NotConfiguredError(f"the environment variable {name} has a line break or a character beyond ASCII")
    return value
