"""How many tokens a simulated reply has."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.provider.ask import Ask
from deploy.local.provider.dialects.openai import OpenAI
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.tokens import OUTPUT_TOKENS_MAX


def read(**fields: object) -> Ask:
    body = {"model": "m", "messages": [{"role": "user", "content": "abcde"}], **fields}
    dialect = OpenAI()
    return dialect.read(dialect.parse(orjson.dumps(body)))


def scripted(**counts: str) -> dict[str, str]:
    return {f"sim_{name}": value for name, value in counts.items()}


def test_prompt_tokens_are_a_quarter_of_the_characters_rounded_up_and_three_a_message() -> None:
    messages = [
        {"role": "system", "content": "abcd"},
        {"role": "user", "content": [{"type": "text", "text": "efghi"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "assistant", "content": None},
    ]
    assert read(messages=messages).usage.prompt == 3 + 3 * 3


def test_the_same_text_gives_the_same_output_in_every_process() -> None:
    assert read().usage.completion == read().usage.completion
    assert read(messages=[{"role": "user", "content": "hi"}]).usage.completion == 0xD8932AAC % 64 + 1


@given(st.text(max_size=200))
def test_derived_output_is_between_1_and_64(text: str) -> None:
    assert 1 <= read(messages=[{"role": "user", "content": text}]).usage.completion <= 64


def test_metadata_scripts_every_count() -> None:
    ask = read(metadata=scripted(input_tokens="100", output_tokens="30", cached_tokens="40", reasoning_tokens="10"))
    assert ask.usage == (100, 40, 30, 10, 0)
    assert (ask.words, ask.finish) == (20, "stop")


def test_reasoning_adds_to_an_output_that_nobody_scripted() -> None:
    assert read(metadata=scripted(reasoning_tokens="10")).usage.completion == read().usage.completion + 10


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
def test_output_never_exceeds_the_cap_and_reasoning_counts_within_it(cap: str) -> None:
    ask = read(**{cap: 12}, metadata=scripted(output_tokens="30", reasoning_tokens="10"))
    assert (ask.usage.completion, ask.usage.reasoning, ask.words, ask.finish) == (12, 10, 2, "length")


def test_reasoning_alone_may_use_up_the_cap() -> None:
    ask = read(max_completion_tokens=5, metadata=scripted(output_tokens="30", reasoning_tokens="10"))
    assert (ask.usage.completion, ask.usage.reasoning, ask.words, ask.finish) == (5, 5, 0, "length")


def test_an_output_that_just_fits_the_cap_is_not_cut() -> None:
    assert read(max_tokens=30, metadata=scripted(output_tokens="30")).finish == "stop"


def test_a_misbehaving_upstream_ignores_the_cap() -> None:
    ask = read(max_tokens=5, metadata=scripted(output_tokens="30", ignore_cap="1"))
    assert (ask.usage.completion, ask.finish) == (30, "stop")


def test_choices_multiply_the_output_but_not_the_prompt() -> None:
    ask = read(n=3, max_tokens=7, metadata=scripted(input_tokens="50", output_tokens="30", reasoning_tokens="2"))
    assert ask.usage == (50, 0, 21, 6, 0)
    assert ask.words == 5


def test_cached_tokens_are_part_of_the_prompt() -> None:
    assert read(metadata=scripted(input_tokens="10", cached_tokens="11")).usage.cached == 10


@pytest.mark.parametrize("value", ["-1", "1.5", "", "x", "٣", str(OUTPUT_TOKENS_MAX + 1)])
def test_a_scripted_count_that_is_no_whole_number_in_bounds_is_refused(value: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(metadata=scripted(output_tokens=value))
    assert (refused.value.status, refused.value.param) == (400, "metadata.sim_output_tokens")


def test_choices_cannot_multiply_past_the_output_bound() -> None:
    with pytest.raises(RefusedError):
        read(n=2, metadata=scripted(output_tokens=str(OUTPUT_TOKENS_MAX)))


def test_a_phrase_in_the_prompt_scripts_what_the_metadata_leaves_open() -> None:
    messages = [{"role": "user", "content": "[sim output_tokens=1] hi [sim output_tokens=30 cached_tokens=2 input_tokens=9]"}]
    assert read(messages=messages).usage == (9, 2, 30, 0, 0)
    assert read(messages=messages, metadata=scripted(output_tokens="7")).usage == (9, 2, 7, 0, 0)


@pytest.mark.parametrize("text", ["[sim]", "[sim output_tokens]", "[sim output_tokens=x]", "[ sim output_tokens=3 ]"])
def test_what_is_not_quite_the_phrase_is_text(text: str) -> None:
    assert read(messages=[{"role": "user", "content": text}]).usage.prompt == -(-len(text) // 4) + 3


def test_cache_reads_and_writes_share_the_prompt() -> None:
    messages = [{"role": "user", "content": "[sim input_tokens=10 cached_tokens=7 cache_write_tokens=9]"}]
    usage = read(messages=messages).usage
    assert (usage.prompt, usage.cached, usage.cache_write) == (10, 7, 3)
