"""Exact token counts of texts, by vocabularies that lie in the library's own package: nothing is fetched at run time.

A vocabulary is loaded when it is first asked for (30 MB and 0.1 s each at the most): most processes never need one.
"""

from __future__ import annotations

from functools import cache

from splintr import AnyTokenizer, Tokenizer


def count(vocabulary: str, text: str) -> int:
    """How many tokens a text is, special tokens spelled out in it taken as ordinary text, as providers do.

    Linear in the text within a small factor, whatever it is; the interpreter is free for other threads meanwhile.
    """
    return len(_loaded(vocabulary).encode_ordinary(text))


@cache
def _loaded(vocabulary: str) -> AnyTokenizer:
    return Tokenizer.from_pretrained(vocabulary)
