"""Which vocabulary a model's texts are counted by. Pure."""

from __future__ import annotations

import re

KNOWN = ("o200k_base", "cl100k_base", "llama3", "qwen3", "deepseek_v3", "mistral_v3", "gemma3")
"""What stands in for a vocabulary that nobody has published, with a declared margin."""
_BY_NAME = (
    (re.compile(r"(ft:)?(gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|chatgpt-4o)\b.*|o(1|3|4)(-.*)?"), "o200k_base"),
    (re.compile(r"(ft:)?(gpt-4|gpt-3\.5|gpt-35)(-.*)?|text-embedding-(ada-002|3-small|3-large)"), "cl100k_base"),
)


def vocabulary_of(upstream_model: str) -> str | None:
    """The vocabulary that a provider's model is documented to be billed by, None where that is not known."""
    return next((vocabulary for names, vocabulary in _BY_NAME if names.fullmatch(upstream_model)), None)
