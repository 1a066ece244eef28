"""The dialects that a channel may speak, by the name in the route table, for each mode of a model."""

from __future__ import annotations

from collections.abc import Mapping

from services.router.dialects.anthropic import Anthropic
from services.router.dialects.dialect import Dialect
from services.router.dialects.gemini import Gemini
from services.router.dialects.gemini_embeddings import GeminiEmbeddings
from services.router.dialects.no_embeddings import NoEmbeddings
from services.router.dialects.openai_dialect import OpenAI
from services.router.dialects.openai_embeddings import OpenAIEmbeddings
from services.router.dialects.openai_responses import OpenAIResponses

DIALECTS: Mapping[str, Mapping[str, Dialect]] = {
    "chat": {"openai": OpenAI(), "openai-responses": OpenAIResponses(), "anthropic": Anthropic(), "gemini": Gemini()},
    "embedding": {
        "openai": OpenAIEmbeddings(),
        "openai-responses": OpenAIEmbeddings(),
        "anthropic": NoEmbeddings(),
        "gemini": GeminiEmbeddings(),
    },
}
