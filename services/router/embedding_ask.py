"""What a client asked to have embedded. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from services.router.ask import Ask
from services.router.bounds import CHARS_PER_TOKEN
from services.router.catalog import Model

TOKENS_AROUND_INPUT = 16
"""What a provider may add around an input, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingAsk(Ask):
    """A request for vectors; `messages` counts its inputs."""

    mode: ClassVar[str] = "embedding"

    def tokens_bound(self, model: Model) -> int:
        """Tokens that are given as numbers are counted; each token of a text stands for a byte of it at least."""
        inputs = inputs_of(self.body["input"])
        if isinstance(inputs[0], list):
            return sum(map(len, inputs))
        return self.body_bytes + TOKENS_AROUND_INPUT * self.messages

    def prompt_estimate(self, bound: int) -> int:
        """Four characters to the token, and tokens as they are counted."""
        inputs = inputs_of(self.body["input"])
        tokens = [-(-len(each) // CHARS_PER_TOKEN) if isinstance(each, str) else len(each) for each in inputs]
        return min(sum(tokens), bound)


def inputs_of(given: Any) -> list[Any]:
    """The inputs, each a text or a list of tokens."""
    single = isinstance(given, str) or (isinstance(given, list) and bool(given) and type(given[0]) is int)
    return [given] if single else list(given)
