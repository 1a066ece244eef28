"""What a channel did and what its provider would invoice for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from deploy.local.provider.ask import Usage

MODELS_MAX = 1_000
OTHER_MODELS = "(other models)"


def streamed(usage: Usage, sent: int, lead: int, span: int) -> Usage:
    """What a stream had generated when it ended after `sent` events.

    The first `lead` events carry no token and the next `span` carry all visible ones, evenly. Prompt and
    reasoning are spent before the first event.
    """
    visible = usage.completion - usage.reasoning
    delivered = visible if sent >= lead + span else visible * max(sent - lead, 0) // span
    return usage._replace(completion=usage.reasoning + delivered)


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

    def bill(self, model: str, usage: Usage) -> None:
        """Put a request on the invoice."""
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
