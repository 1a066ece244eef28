"""What a channel did and what its provider would invoice for it."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any, NamedTuple

from deploy.local.provider.ask import Usage
from deploy.local.provider.dialects import Stamp

MODELS_MAX = 1_000
ITEMS_MAX = 200_000
COLUMNS = (
    "id", "request_id", "created_at", "model", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens",
    "cost", "currency",
)  # fmt: skip
OTHER_MODELS = "(other models)"


def streamed(usage: Usage, sent: int, lead: int, span: int) -> Usage:
    """What a stream had generated when it ended after `sent` events.

    The first `lead` events carry no token and the next `span` carry all visible ones, evenly. Prompt and
    reasoning are spent before the first event.
    """
    visible = usage.completion - usage.reasoning
    delivered = visible if sent >= lead + span else visible * max(sent - lead, 0) // max(span, 1)
    return usage._replace(completion=usage.reasoning + delivered)


class Item(NamedTuple):
    """One billed request. `stamp` names the reply, also one that never reached the client."""

    stamp: Stamp
    model: str
    usage: Usage


class Rates(NamedTuple):
    """What the provider asks for a million tokens, in a currency."""

    prompt: Decimal
    cached: Decimal
    completion: Decimal
    currency: str

    def cost(self, usage: Usage) -> Decimal:
        """The price of one request, exact."""
        fresh = (usage.prompt - usage.cached) * self.prompt
        return (fresh + usage.cached * self.cached + usage.completion * self.completion) / 1_000_000


class Line:
    """The invoice's total for one model. `completion` includes `reasoning`, `prompt` includes `cached`."""

    __slots__ = ("cached", "completion", "prompt", "reasoning", "requests")

    def __init__(self) -> None:
        self.requests = self.prompt = self.cached = self.completion = self.reasoning = 0

    def add(self, usage: Usage) -> None:
        """Count one billed request."""
        self.requests += 1
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion
        self.reasoning += usage.reasoning


class Book:
    """Figures of one channel since the last reset."""

    def __init__(self) -> None:
        self.requests = 0
        self.tokens_sent = 0
        self.faults: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._lines: dict[str, Line] = {}
        self.items: deque[Item] = deque(maxlen=ITEMS_MAX)

    def bill(self, model: str, usage: Usage, stamp: Stamp) -> None:
        """Put a request on the invoice."""
        self.items.append(Item(stamp, model, usage))
        line = self._lines.get(model)
        if line is None:
            line = self._open(model)
        line.add(usage)

    def _open(self, model: str) -> Line:
        name = model if len(self._lines) < MODELS_MAX else OTHER_MODELS
        return self._lines.setdefault(name, Line())

    def described(self) -> dict[str, Any]:
        """The figures as the control endpoint shows them."""
        return {
            "requests": self.requests,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "faults": dict(self.faults),
            "tokens_sent": self.tokens_sent,
            "invoice": [self._described(model, line) for model, line in sorted(self._lines.items())],
        }

    @staticmethod
    def _described(model: str, line: Line) -> dict[str, Any]:
        return {
            "model": model,
            "requests": line.requests,
            "prompt_tokens": line.prompt,
            "cached_tokens": line.cached,
            "completion_tokens": line.completion,
            "reasoning_tokens": line.reasoning,
        }


def written(items: Iterable[Item], rates: Rates | None) -> str:
    """The invoice as CSV, one line per billed request; without rates nothing is said about money."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        name, usage = item.stamp.id.decode(), item.usage
        at = datetime.fromtimestamp(item.stamp.created, UTC).isoformat()
        money = ("", "") if rates is None else (f"{rates.cost(usage):f}", rates.currency)
        tokens = (usage.prompt, usage.cached, usage.completion, usage.reasoning)
        writer.writerow((item.stamp.reply_id, f"req_{name}", at, item.model, *tokens, *money))
    return out.getvalue()
