"""Who may call router: edge and the operator, each with its own token. Pure."""

from __future__ import annotations

from hmac import compare_digest


def bears(authorization: bytes | str | None, token: bytes) -> bool:
    """Whether an Authorization header carries the token. An empty token is nobody's."""
    if not authorization or not token:
        return False
    given = authorization.encode("utf-8", "surrogateescape") if isinstance(authorization, str) else authorization
    return compare_digest(given, b"Bearer " + token)
