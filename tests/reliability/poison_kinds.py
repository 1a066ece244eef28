"""Records that are no settling event, each kind with the reason that must be given for it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

TEN_MEGABYTES = 10 << 20
SETTLING = b"RequestCompleted"


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as a producer hands it to the broker. `type` is the header's value, None where there is no header."""

    key: bytes | None
    value: bytes | None
    type: bytes | None = SETTLING


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be poison: made of a true event's bytes and its account."""

    name: str
    reason: str
    make: Callable[[str, bytes, random.Random], Raw]


def _bytes(name: str, reason: str, change: Callable[[bytes, random.Random], bytes | None]) -> Kind:
    return Kind(name, reason, lambda account, value, dice: Raw(account.encode(), change(value, dice)))


def _field(name: str, path: str, text: bytes, reason: str = "unreadable") -> Kind:
    """A field of the event replaced by other JSON text, which need not be JSON at all."""

    def change(value: bytes, _: random.Random) -> bytes:
        body: Any = orjson.loads(value)
        place: Any = body
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parents:
            place = place[part]
        place[last] = "@@@"
        return orjson.dumps(body).replace(b'"@@@"', text)

    return _bytes(name, reason, change)


TOKENS = "data.attempts.0.usage.output_tokens"
NUMBERS = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "negative": b"-1",
    "the least of int64": b"-9223372036854775808",
    "below int64": b"-9223372036854775809",
    "the most of int64": b"9223372036854775807",
    "above int64": b"9223372036854775808",
    "above uint64": b"18446744073709551616",
    "4,000 digits": b"9" * 4_000,
    "100,000 digits": b"9" * 100_000,
    "beyond a double": b"1e400",
    "a million as a double": b"1e6",
    "half a token": b"0.5",
    "a text": b'"12"',
    "true": b"true",
    "null": b"null",
    "a list": b"[1]",
}
NO_LATENCIES = ("NaN", "Infinity", "negative", "beyond a double")
DEEP = 100_000

KINDS = (
    _bytes("truncated", "unreadable", lambda value, dice: value[: dice.randint(1, len(value) - 1)]),
    _bytes("empty", "unreadable", lambda *_: b""),
    _bytes("null value", "no_value", lambda *_: None),
    _bytes("not JSON", "unreadable", lambda _, dice: dice.randbytes(200)),
    _bytes("another JSON", "unreadable", lambda *_: b'[1,{"a":null}]'),
    _bytes("two events", "unreadable", lambda value, _: value + value),
    _bytes("a byte order mark", "unreadable", lambda value, _: b"\xef\xbb\xbf" + value),
    _bytes("UTF-16", "unreadable", lambda value, _: value.decode().encode("utf-16")),
    _bytes("nested lists", "unreadable", lambda *_: b"[" * DEEP),
    _bytes("nested lists, closed", "unreadable", lambda *_: b"[" * DEEP + b"]" * DEEP),
    _bytes("10 MB of event", "too_large", lambda value, _: value[:-1] + b',"pad":"' + b"x" * TEN_MEGABYTES + b'"}'),
    *[_field(f"tokens: {name}", TOKENS, text) for name, text in NUMBERS.items()],
    *[_field(f"latency: {name}", "data.latency_ms", NUMBERS[name]) for name in NO_LATENCIES],
    *[_field(f"cost: {name}", "data.cost_nano", NUMBERS[name]) for name in ("negative", "above int64", "half a token")],
    _field("operator's cost above int64", "data.attempts.0.operator_cost_nano", NUMBERS["above int64"]),
    _field("operator's cost of all money", "data.attempts.0.operator_cost_nano", b"9223372036854775807", "amount_out_of_range"),
    _field("invalid UTF-8 in a text", "data.requested_model", b'"gpt\xff4"'),
    _field("an overlong UTF-8 sequence", "data.requested_model", b'"gpt\xc0\xaf4"'),
    _field("half a surrogate pair", "data.requested_model", b'"gpt\\ud8004"'),
    _field("a NUL character", "data.requested_model", b'"gpt\\u00004"'),
    _field("a name without an end", "data.requested_model", b'"' + b"x" * 100_000 + b'"'),
    _field("tags without an end", "tags", b"{" + b",".join(b'"%d":"x"' % number for number in range(1000)) + b"}"),
    _field("nested tags", "tags", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    _field("the next version", "version", b"2", "unknown_version"),
    _field("version 0", "version", b"0", "unknown_version"),
    _field("a version above int64", "version", b"9223372036854775808", "unknown_version"),
    _field("no version but a text", "version", b'"one"'),
    _field("another type in the body", "type", b'"AttemptFinished"'),
    _field("an unknown type in the body", "type", b'"RequestVanished"'),
    _field("no request", "request_id", b"null", "inconsistent"),
    _field("an id that is none", "event_id", b'"42"'),
    _field("a time without an offset", "occurred_at", b'"2026-01-01T00:00:00"'),
    _field("a time after all times", "occurred_at", b'"12026-01-01T00:00:00Z"'),
    _field("an unknown outcome", "data.outcome", b'"perhaps"'),
    _field("an attempt that is not listed is charged", "data.charged_attempt", b"7", "inconsistent"),
    _field("a charged attempt above int64", "data.charged_attempt", b"9223372036854775808", "inconsistent"),
    _field("a model without a price", "data.attempts.0.upstream_model", b'"nobody-knows"', "unpriced"),
    _field("a route that another bucket pays", "data.attempts.0.route_type", b'"pooled"', "wrong_bucket"),
    Kind("no type header", "no_type", lambda account, value, _: Raw(account.encode(), value, None)),
    Kind("an empty type header", "no_type", lambda account, value, _: Raw(account.encode(), value, b"")),
    Kind("another account's key", "wrong_key", lambda account, value, _: Raw(account.encode() + b"x", value)),
    Kind("an empty key", "wrong_key", lambda account, value, _: Raw(b"", value)),
    Kind("a key that is not UTF-8", "wrong_key", lambda account, value, _: Raw(b"\xff\xfe", value)),
)
