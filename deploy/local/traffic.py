"""Traffic of realistic shape: sizes drawn as a public one-hour trace of LLM requests has them (median, spread and tail)."""

import random
from dataclasses import dataclass
from typing import Any

PROMPT_WORD = "toll "


@dataclass(frozen=True)
class Size:
    """Tokens of one request."""

    prompt: int
    output: int


def generated_sizes(count: int, seed: int = 7) -> list[Size]:
    """`count` request sizes, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - sizes, not secrets
    return [_generated(draw) for _ in range(count)]


def _generated(draw: random.Random) -> Size:
    prompt = min(14_000, max(2, round(draw.lognormvariate(6.7, 1.0))))
    output = min(1_000, max(7, round(draw.lognormvariate(5.0, 0.8))))
    return Size(prompt, output)


def chat_body(model: str, size: Size, *, cached: int = 0) -> dict[str, Any]:
    """A chat request of that size; the provider simulator reports exactly these tokens."""
    counts = {"sim_input_tokens": size.prompt, "sim_output_tokens": size.output, "sim_cached_tokens": cached}
    return {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT_WORD * size.prompt}],
        "metadata": {name: str(count) for name, count in counts.items()},
    }
