"""A bound that a bill can never pass, and estimates that never pass the bound."""

from __future__ import annotations

import pytest

from services.router.bounds import (
    estimated_output_tokens,
    estimated_prompt_tokens,
    estimated_stream_tokens,
    input_tokens_bound,
    least_tokens,
)


@pytest.mark.parametrize(
    ("images", "files", "bound"), [(0, 0, 132), (2, 0, 132 + 6000), (0, 1, 132 + 128_000), (1, 3, 132 + 3000 + 128_000)]
)
def test_every_part_that_is_not_bytes_adds_its_own_bound(images: int, files: int, bound: int) -> None:
    assert bound == input_tokens_bound(
        body_bytes=100, messages=2, image_parts=images, file_parts=files, image_tokens=3000, max_input_tokens=128_000
    )


def test_estimates_stay_under_their_bounds() -> None:
    assert estimated_prompt_tokens(text_chars=9, messages=2, bound=100) == 3 + 6
    assert estimated_prompt_tokens(text_chars=9, messages=2, bound=5) == 5
    assert estimated_output_tokens(text_chars=9, cap=100) == 3
    assert estimated_output_tokens(text_chars=9, cap=2) == 2
    assert estimated_stream_tokens(tokens_seen=7, cap=100) == 7
    assert estimated_stream_tokens(tokens_seen=7, cap=5) == 5


def test_a_chunk_holds_at_least_one_token_and_no_token_holds_two_words() -> None:
    assert [least_tokens(text) for text in ("a", "two words", "one two three", "-" * 1280, " " * 300)] == [1, 1, 2, 10, 2]
