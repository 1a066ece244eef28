"""The dialects that a channel may speak, by the name in the route table."""

from __future__ import annotations

from services.router.dialects.anthropic import Anthropic
from services.router.dialects.dialect import Dialect
from services.router.dialects.gemini import Gemini
from services.router.dialects.openai_dialect import OpenAI

DIALECTS: dict[str, Dialect] = {"openai": OpenAI(), "anthropic": Anthropic(), "gemini": Gemini()}
