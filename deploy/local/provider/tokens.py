"""Token counts: scripted by the request's metadata, else derived from its text, always the same for the same request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from deploy.local.provider.ask import INSTANT, Pace, Usage
from deploy.local.provider.errors import RefusedError

CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
DERIVED_OUTPUT_MAX = 64
INPUT_TOKENS_MAX = 10_000_000
OUTPUT_TOKENS_MAX = 131_072
"""A reply is built in memory: this bounds it (about 40 MB as a stream)."""
DELAY_MS_MAX = 600_000


class Script(NamedTuple):
    """What a request's metadata asks of the simulator (`sim_*`); None where it leaves a figure to the text."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    ignore_cap: bool = False
    call_tool: bool = False
    pace: Pace = INSTANT


UNSCRIPTED = Script()


def script_of(metadata: Mapping[str, str]) -> Script:
    """Read the `sim_*` keys. Raises RefusedError (400) where one is not a whole number within its bounds."""
    return Script(
        input_tokens=_whole(metadata, "sim_input_tokens", INPUT_TOKENS_MAX),
        output_tokens=_whole(metadata, "sim_output_tokens", OUTPUT_TOKENS_MAX),
        cached_tokens=_whole(metadata, "sim_cached_tokens", INPUT_TOKENS_MAX) or 0,
        reasoning_tokens=_whole(metadata, "sim_reasoning_tokens", OUTPUT_TOKENS_MAX) or 0,
        cache_write_tokens=_whole(metadata, "sim_cache_write_tokens", INPUT_TOKENS_MAX) or 0,
        ignore_cap=metadata.get("sim_ignore_cap") == "1",
        call_tool=metadata.get("sim_tool") == "1",
        pace=Pace(
            _whole(metadata, "sim_latency_ms", DELAY_MS_MAX) or 0,
            _whole(metadata, "sim_ttft_ms", DELAY_MS_MAX) or 0,
            _whole(metadata, "sim_chunk_ms", DELAY_MS_MAX) or 0,
        ),
    )


def _whole(metadata: Mapping[str, str], key: str, maximum: int) -> int | None:
    text = metadata.get(key)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > maximum:
        raise RefusedError(
            400,
            f"Invalid value for 'metadata.{key}': '{text}' is not a whole number from 0 to {maximum}.",
            param=f"metadata.{key}",
            code="invalid_value",
        )
    return int(text)


class Count(NamedTuple):
    """The decided figures: usage over all choices, visible tokens of one choice, and whether the cap cut it."""

    usage: Usage
    visible: int
    cut: bool


def prompt_tokens(text_chars: int, messages: int) -> int:
    """Prompt tokens of a text that nobody scripted: a token for every four characters begun, three a message."""
    return -(-text_chars // CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * messages


def text_hash(text: str) -> int:
    """A hash of the prompt that is the same in every process and on every machine."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def derived_output(digest: int) -> int:
    """Output tokens (1..64) of a prompt that nobody scripted."""
    return digest % DERIVED_OUTPUT_MAX + 1


def count(script: Script, derived_prompt: int, derived_visible: int, cap: int | None, choices: int) -> Count:
    """Decide the token counts of a reply.

    `sim_output_tokens` is the whole completion of one choice, reasoning included; without it the
    completion is the derived visible output plus the scripted reasoning. The cap bounds each choice,
    and reasoning is spent before anything is visible, as with a real reasoning model.
    """
    prompt = derived_prompt if script.input_tokens is None else script.input_tokens
    wanted = script.output_tokens
    if wanted is None:
        wanted = derived_visible + script.reasoning_tokens
    cut = cap is not None and wanted > cap and not script.ignore_cap
    completion = cap if cut and cap is not None else wanted
    if completion * choices > OUTPUT_TOKENS_MAX:
        raise RefusedError(400, f"The simulator writes at most {OUTPUT_TOKENS_MAX} tokens.", param="n")
    reasoning = min(script.reasoning_tokens, completion)
    cached = min(script.cached_tokens, prompt)
    written = min(script.cache_write_tokens, prompt - cached)
    usage = Usage(prompt, cached, completion * choices, reasoning * choices, written)
    return Count(usage, completion - reasoning, cut)
