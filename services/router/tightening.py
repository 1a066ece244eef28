"""A tighter bound of the prompt where the cheap one decides: before a request is refused that the customer could pay.

The bound from bytes is three to five times the tokens of a text, and an image's data counts in it beside the image. Where a
hold is refused for money under it, or it passes the model's context, texts are counted by the model's own vocabulary and
images by their size, and the hold is asked for again. All else stays at its bytes, so that the result is a bound too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

import orjson

from schemas.calls import HoldRefusal
from services.router import metrics
from services.router.ask import Ask
from services.router.bounds import TOKENS_PER_MESSAGE
from services.router.call import Call
from services.router.catalog import Model
from services.router.images import image_tokens
from services.router.prompt_parts import PromptParts, as_json, parts_of
from services.router.tokenizers import count

MONEY_CODES = frozenset({"insufficient_balance", "budget_exceeded"})
TOKENS_PER_TEXT = 4
"""What a provider may put between two texts, and what a cut at another place can add."""
HERE_BYTES = 4 * 1024
"""A shorter text is counted at once (some 50 us); a longer one in a thread, beside the loop."""
TEXT_BYTES_MAX = 8 * 1024 * 1024
"""More text than this is left to its bytes: no model's context is larger."""
AT_ONCE = 2
BYTES_PER_TOKEN = 16
"""More than any language or code has. Where even this would not make a request payable, nobody can have it counted for nothing,
over and over; only an image's data comes down by more."""
ESCAPED = 6
"""At most so many bytes of a JSON escape stand for one of the text."""


class Tightener:
    """Counts where it decides, a few texts at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    async def fit(self, call: Call) -> None:
        """Tighten a bound that passes the model's context: the provider would refuse so many tokens."""
        model = call.plan.model
        if call.tokens_bound > model.max_input_tokens and model.mode == "chat" and not call.ask.file_parts:
            await self._tighten(call)

    async def helps(self, call: Call, refusal: HoldRefusal) -> bool:
        """Whether the hold should be asked for again, since the bound has come down after a refusal for money."""
        if refusal.code not in MONEY_CODES:
            return False
        if refusal.left_nano is not None and _hopeless(call.ask, refusal.left_nano, refusal.needed_nano or 0):
            return False
        return await self._tighten(call)

    async def _tighten(self, call: Call) -> bool:
        if call.tightened:
            return False
        call.tightened = True
        begun = perf_counter()
        parts = parts_of(call.ask.native or call.ask.body)
        size = sum(map(len, parts.texts)) + sum(map(len, parts.notes))
        if size <= HERE_BYTES:
            bound = tight_bound(call.ask, call.plan.model, parts)
        else:
            async with self._places:
                bound = await asyncio.to_thread(tight_bound, call.ask, call.plan.model, parts)
        lower = bound < call.tokens_bound
        metrics.BOUNDS_TIGHTENED.labels(result="lower" if lower else "same").inc()
        metrics.TIGHTENING.observe(perf_counter() - begun)
        call.tokens_bound = min(call.tokens_bound, bound)
        return lower


def tight_bound(ask: Ask, model: Model, parts: PromptParts) -> int:
    """The most prompt tokens that the request can be billed for, at most the bound from bytes.

    Never under the estimate by which a request is charged whose upstream reports no usage.
    """
    loose = ask.tokens_bound(model)
    bound = written_bytes(ask) + TOKENS_PER_MESSAGE * ask.messages + (model.max_input_tokens if ask.file_parts else 0)
    bound += _texts(parts, model) + _images(ask, parts, model)
    return min(loose, max(bound, ask.prompt_estimate(loose)))


def written_bytes(ask: Ask) -> int:
    """The body's bytes without what only the client's way of writing JSON added to it: escapes of letters, white space."""
    try:
        return min(ask.body_bytes, len(orjson.dumps(ask.native or ask.body)))
    except TypeError:
        # It is nested deeper than it can be written again: no provider will see it.
        return ask.body_bytes


def _hopeless(ask: Ask, left: int, needed: int) -> bool:
    """Whether no count of the texts could make the request payable. The body is measured only where that decides."""
    if left <= 0:
        return True
    if ask.image_parts or left * BYTES_PER_TOKEN >= needed:
        return False
    most = left * BYTES_PER_TOKEN * ask.body_bytes
    return most * ESCAPED < needed * ask.body_bytes or most < needed * written_bytes(ask)


def _texts(parts: PromptParts, model: Model) -> int:
    """What counting changes at the bound from bytes: each text that has fewer tokens than bytes."""
    written: list[tuple[int, tuple[str, ...]]] = [(len(text.encode()), (text,)) for text in parts.texts]
    written += [(len(text.encode()), (text, as_json(text))) for text in parts.notes]
    if not model.vocabularies or sum(size for size, _ in written) > TEXT_BYTES_MAX:
        return 0
    return sum(min(_tokens(forms, model) - size, 0) for size, forms in written) - parts.around


def _tokens(forms: Sequence[str], model: Model) -> int:
    most = max(count(vocabulary, form) for vocabulary in model.vocabularies for form in forms)
    return -(-most * model.tokens_percent // 100) + TOKENS_PER_TEXT


def _images(ask: Ask, parts: PromptParts, model: Model) -> int:
    """Each image at its bound in place of its address. Images that were counted and not found keep the declared bound."""
    names = {place.upstream_model for place in model.places}
    tokens = sum(max(image_tokens(name, image, model.image_tokens_bound) for name in names) for image in parts.images)
    unseen = max(ask.image_parts - len(parts.images), 0)
    return tokens + unseen * model.image_tokens_bound - sum(len(image.address.encode()) for image in parts.images)
