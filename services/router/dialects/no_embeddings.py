"""A dialect whose provider has no embeddings: every request is refused by name, so that another candidate is asked. Pure."""

from __future__ import annotations

from services.router.ask import Ask
from services.router.dialects.anthropic import Anthropic
from services.router.dialects.dialect import no_meaning


class NoEmbeddings(Anthropic):
    """Anthropic's API, which embeds nothing."""

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The refusal."""
        raise no_meaning("model", "The provider of this route has no embeddings.")
