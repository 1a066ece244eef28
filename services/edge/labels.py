"""What a client may say about a request in its headers: tags, run, its own id, trace. All of it bounded."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.plain_text import RULE, unplain
from services.edge.errors import InvalidRequestError

MAX_TAGS = 32
MAX_TAG_NAME = 64
MAX_TAG_VALUE = 256
MAX_LABEL = 128
TAGS_HEADER = b"x-tollbook-tags"
RUN_HEADER = b"x-tollbook-run"
RUN_FIELD = "run_id"
RUN_PARAM = f"metadata.{RUN_FIELD}"
CLIENT_ID_HEADER = b"x-request-id"
IDEMPOTENCY_HEADER = b"idempotency-key"
TRACE_HEADER = b"traceparent"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SINGLE = frozenset((TAGS_HEADER, RUN_HEADER, IDEMPOTENCY_HEADER))
"""Headers that say one thing: of two, nobody could tell which one counts."""
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of one request; None or empty where the client gave none."""

    tags: dict[str, str] = field(default_factory=dict)
    run_id: str | None = None
    client_request_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


def refuse_repeated(raw: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise :class:`InvalidRequestError` where a header that says one thing is given more than once."""
    seen: set[bytes] = set()
    for name, _ in raw:
        if name in _SINGLE:
            if name in seen:
                raise _bad(name, "is given more than once: send one")
            seen.add(name)


def read_labels(headers: Mapping[bytes, bytes]) -> Labels:
    """The labels in a request's headers (names in lower case). Raises :class:`InvalidRequestError` naming the header."""
    tags = headers.get(TAGS_HEADER)
    trace = headers.get(TRACE_HEADER)
    return Labels(
        tags=parse_tags(tags) if tags else {},
        run_id=_label(headers, RUN_HEADER),
        client_request_id=_label(headers, CLIENT_ID_HEADER),
        idempotency_key=_label(headers, IDEMPOTENCY_HEADER),
        traceparent=_traceparent(trace) if trace else None,
    )


def joining(labels: Labels, payload: Mapping[str, Any]) -> Labels:
    """The labels with the run that a body's `metadata.run_id` names. Raises :class:`InvalidRequestError`."""
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict) or RUN_FIELD not in metadata:
        return labels
    run_id = metadata[RUN_FIELD]
    if not isinstance(run_id, str) or len(run_id) > MAX_LABEL or not _PRINTABLE.fullmatch(run_id):
        raise _bad_run(f"takes 1 to {MAX_LABEL} printable ASCII characters")
    if labels.run_id is not None and labels.run_id != run_id:
        raise _bad_run(f"names another run than the header {RUN_HEADER.decode()}")
    return replace(labels, run_id=run_id)


def parse_tags(raw: bytes) -> dict[str, str]:
    """Tags from `k=v,k2=v2` (UTF-8). Raises :class:`InvalidRequestError` for what is malformed, doubled or too much."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(TAGS_HEADER, "is not UTF-8") from None
    tags: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            raise _bad(TAGS_HEADER, "must look like feature=search,customer=acme")
        if len(name) > MAX_TAG_NAME or len(value) > MAX_TAG_VALUE:
            raise _bad(TAGS_HEADER, f"takes names of {MAX_TAG_NAME} and values of {MAX_TAG_VALUE} characters at most")
        if (found := unplain(name + value)) is not None:
            raise _bad(TAGS_HEADER, f"{RULE} ({found})")
        if name in tags:
            raise _bad(TAGS_HEADER, "gives a tag twice")
        tags[name] = value
        if len(tags) > MAX_TAGS:
            raise _bad(TAGS_HEADER, f"takes {MAX_TAGS} tags at most")
    return tags


def _label(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    raw = headers.get(name)
    if raw is None:
        return None
    text = raw.decode("latin-1")
    if len(text) > MAX_LABEL or not _PRINTABLE.fullmatch(text):
        raise _bad(name, f"takes 1 to {MAX_LABEL} printable ASCII characters")
    return text


def _traceparent(raw: bytes) -> str | None:
    """The W3C trace parent; a malformed one is treated as absent, as that standard asks."""
    text = raw.decode("latin-1")
    return text if _TRACEPARENT.fullmatch(text) else None


def _bad_run(what: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_value", f"'{RUN_PARAM}' {what}.", param=RUN_PARAM)


def _bad(header: bytes, what: str) -> InvalidRequestError:
    name = header.decode()
    return InvalidRequestError("invalid_header", f"The header {name} {what}.", param=name)
