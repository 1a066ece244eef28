"""How many tokens a request can cost at most, from its bytes alone, and what a stream is estimated at. Pure.

The input bound is a true upper bound: every token of a byte-level tokenizer stands for at least one byte of text, JSON escapes
only lengthen text, and what a provider adds around a message (role, separators, names) stays under 16 tokens a message.
An image is billed by its size and not by the bytes of its address, so that each image part adds the model's own bound
(`image_tokens_bound` in the route table). A file part may unfold into anything that
fits the model: it counts as the model's whole context.
"""

from __future__ import annotations

TOKENS_PER_MESSAGE = 16
IMAGE_TOKENS = 50_000
"""The bound for an image part where the model declares none: cautious, because a bound that is too low is paid by the
operator. By OpenAI's tile rule gpt-4o-mini bills 2,833 + 8 x 5,667 = 48,169 tokens for the largest image, and no model that we
know of more; for most models 3,000 is enough, which the table should then say."""
CHARS_PER_TOKEN = 4
PROMPT_TOKENS_PER_MESSAGE = 3
TOKEN_CHARS_MAX = 128


def input_tokens_bound(
    *, body_bytes: int, messages: int, image_parts: int, file_parts: int, image_tokens: int, max_input_tokens: int
) -> int:
    """The most prompt tokens that the request can be billed for."""
    bound = body_bytes + TOKENS_PER_MESSAGE * messages + image_tokens * image_parts
    return bound + max_input_tokens if file_parts else bound


def estimated_prompt_tokens(*, text_chars: int, messages: int, bound: int) -> int:
    """Prompt tokens where the upstream reported none: four characters a token, three more a message, never above the bound."""
    estimate = -(-text_chars // CHARS_PER_TOKEN) + PROMPT_TOKENS_PER_MESSAGE * messages
    return min(estimate, bound)


def estimated_output_tokens(*, text_chars: int, cap: int) -> int:
    """Output tokens of a plain reply whose upstream reported none: four characters to the token, never above the cap."""
    return min(-(-text_chars // CHARS_PER_TOKEN), cap)


def least_tokens(text: str) -> int:
    """The fewest output tokens that a chunk with this text can stand for.

    A chunk holds at least one token. Tokenizers in use never join two words, because they cut at white space first, so that a
    text has at least as many tokens as words; its first word may belong to a token of the chunk before. And no token of the
    vocabularies in use is longer than 128 characters (runs of blanks or dashes).
    """
    return max(1, len(text.split()) - 1, len(text) // TOKEN_CHARS_MAX)


def estimated_stream_tokens(*, tokens_seen: int, cap: int) -> int:
    """Output tokens of a stream whose upstream reported none.

    What was seen is a lower bound (:func:`least_tokens`), so that a customer never pays for more than was streamed.
    """
    return min(tokens_seen, cap)
