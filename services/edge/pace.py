"""Requests and tokens per minute: what an envelope allows, what a call will need of it, and how replies say what is left. Pure.

A minute slides: what was counted in the calendar minute before still counts by the part of it that lies within the last sixty
seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any, Literal, NamedTuple

MINUTE_S = 60
UNCAPPED_OUTPUT_TOKENS = 4_096
"""What a request counts for its output until its end where it gives no cap, and a quarter of the limit at the most."""
TOKENS_A_FILE = 1_500
MAX_CHOICES = 128

PACE_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")

Unit = Literal["requests", "tokens"]
PacedScope = Literal["account", "project", "key"]
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """What one envelope allows in a minute; None: as much as the others do."""

    kind: PacedScope
    id: str
    requests: int | None
    tokens: int | None

    def of(self, unit: Unit) -> int | None:
        """The limit of requests or of tokens."""
        return self.requests if unit == "requests" else self.tokens


class Window(NamedTuple):
    """What was counted: in the minute before, which goes on to count for `previous_s`, and in the present one, for `current_s`.

    The present minute ends a whole minute before its count has worn off.
    """

    previous: int
    previous_s: float
    current: int
    current_s: float

    def counted(self) -> float:
        """What counts at this instant."""
        return self.previous * self.previous_s / MINUTE_S + self.current


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a counter stands: its limit, what is left of it, when it will be whole again, in seconds."""

    limit: int
    remaining: int
    reset_s: float

    @classmethod
    def of(cls, limit: int, window: Window) -> "Standing":
        """The standing of a window under its limit."""
        reset_s = window.current_s if window.current else window.previous_s if window.previous else 0.0
        return cls(limit, max(0, limit - floor(window.counted())), reset_s)


def wait_s(limit: int, window: Window, cost: int) -> float:
    """How long it takes until the window has room for the cost, if nothing else is counted."""
    room = limit - cost - window.current
    if room >= 0 and window.previous:
        return max(0.0, window.previous_s - room * MINUTE_S / window.previous)
    if room >= 0 or not window.current:
        return 0.0
    # Not within this minute: when it has become the one before, and enough of it has worn off.
    turn_s = max(0.0, window.current_s - MINUTE_S)
    return turn_s + max(0.0, MINUTE_S - max(0, limit - cost) * MINUTE_S / window.current)


@dataclass(slots=True)
class Standings:
    """The tightest counters that a call met."""

    requests: Standing | None = None
    tokens: Standing | None = None

    def meet(self, unit: Unit, standing: Standing) -> None:
        """Keep the one of which the least is left."""
        known = self.requests if unit == "requests" else self.tokens
        if known is not None and known.remaining <= standing.remaining:
            return
        if unit == "requests":
            self.requests = standing
        else:
            self.tokens = standing

    def headers(self) -> Headers:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as OpenAI's clients read them."""
        found: Headers = []
        for unit, standing in ((b"requests", self.requests), (b"tokens", self.tokens)):
            if standing is not None:
                found += [
                    (b"x-ratelimit-limit-" + unit, b"%d" % standing.limit),
                    (b"x-ratelimit-remaining-" + unit, b"%d" % standing.remaining),
                    (b"x-ratelimit-reset-" + unit, _duration(standing.reset_s)),
                ]
        return found

    def anthropic_headers(self, now: datetime) -> Headers:
        """`anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`, whose resets are instants."""
        found: Headers = []
        for unit, standing in ((b"requests", self.requests), (b"tokens", self.tokens)):
            if standing is not None:
                reset = datetime.fromtimestamp(ceil(now.timestamp() + standing.reset_s), UTC)
                found += [
                    (b"anthropic-ratelimit-" + unit + b"-limit", b"%d" % standing.limit),
                    (b"anthropic-ratelimit-" + unit + b"-remaining", b"%d" % standing.remaining),
                    (b"anthropic-ratelimit-" + unit + b"-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
                ]
        return found


class Estimate(NamedTuple):
    """What a call may need: its prompt by its length, its output by the client's own cap (None where it gave none)."""

    prompt: int
    output: int | None

    def within(self, limit: int) -> int:
        """What is counted under a limit until the end of the call is known; a prompt alone never passes it for good."""
        output = min(UNCAPPED_OUTPUT_TOKENS, limit // 4) if self.output is None else self.output
        return min(limit, self.prompt + output)


def estimate(payload: Mapping[str, Any], body: bytes, caps: Sequence[str]) -> Estimate:
    """What a call may need; `caps` are its API's own names for the cap, none where nothing is written.

    Four characters of ASCII count as a token, and any other character as about one.

    Pictures and files that lie in the body are not counted by their length. What is no number or no cap is router's to refuse.
    """
    inline = [*_inline(payload.get("messages")), *_inline(payload.get("input"))]
    characters = len(body) if body.isascii() else len(body.decode("utf-8", "replace"))
    prompt = max(0, characters - sum(inline)) / 4 + (len(body) - characters) * 3 / 8
    return Estimate(ceil(prompt) + TOKENS_A_FILE * len(inline), _capped(payload, caps) if caps else 0)


def _capped(payload: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """By the largest of several: a small one beside it, which router may not read, must not make a call look small."""
    cap = max(_count(payload.get(name)) for name in names)
    return cap * min(_count(payload.get("n")) or 1, MAX_CHOICES) if cap else None


def _count(value: object) -> int:
    """A number above zero, 0 for everything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _inline(items: object) -> list[int]:
    """How many bytes each picture, sound or file takes up among the parts of messages."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        return []
    contents = [item.get("content") for item in items if isinstance(item, Mapping)]
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, Mapping)]
    return [size for part in parts if (size := _longest(part)) is not None]


def _longest(part: Mapping[str, Any]) -> int | None:
    """The length of what a part that is no text holds; None for a text."""
    kind = part.get("type")
    if not isinstance(kind, str) or not any(word in kind for word in ("image", "file", "document", "audio")):
        return None
    inner = [part, *(value for value in part.values() if isinstance(value, Mapping))]
    return max((len(value) for each in inner for value in each.values() if isinstance(value, str)), default=0)


def _duration(seconds: float) -> bytes:
    """`750ms`, `12.5s`, `1m30s`: as OpenAI writes them, rounded up."""
    ms = ceil(seconds * 1000)
    if 0 < ms < 1000:
        return b"%dms" % ms
    minutes, rest = divmod(ms, 60_000)
    text = f"{rest / 1000:g}s"
    return (f"{minutes}m{text}" if minutes else text).encode()
