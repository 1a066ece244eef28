"""What a client asked for: its body, checked as far as money and routing need it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from schemas.money import TOKENS_PER_PRICE
from services.router.bounds import estimated_prompt_tokens, input_tokens_bound
from services.router.catalog import Model
from services.router.errors import RefusalError

CHOICES_MAX = 128
OUTPUT_TOKENS_MAX = 1_000 * TOKENS_PER_PRICE
MESSAGES_MAX = 20_000
IMAGE_PARTS = frozenset({"image_url", "input_image", "image"})
FILE_PARTS = frozenset({"file", "input_file"})
AUDIO_PART = "input_audio"
UNPRICED = ("web_search_options", "prediction", "audio")
"""Parameters with which a provider bills something other than the tokens that a hold can bound."""
REROUTING = ("models", "provider", "route", "plugins", "transforms")
"""Parameters with which an aggregator may answer with another model, or with extras, at another price than the hold's."""
DEFAULT_TIERS = (None, "auto", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request, as a chat completion.

    `body` is the client's object, or what it means as a chat completion, never changed. `cap` is the client's own output cap
    per choice. `native` is the client's object where its API is another one, and `untranslated` names what of it `body` lacks.
    `audio` names the last place where sound is in it.
    """

    mode: ClassVar[str] = "chat"
    """Which models may answer it."""

    body: dict[str, Any]
    body_bytes: int
    model: str
    stream: bool
    include_usage: bool
    cap: int | None
    choices: int
    messages: int
    image_parts: int
    file_parts: int
    audio: str | None = None
    client_api: str = "chat.completions"
    native: dict[str, Any] | None = None
    untranslated: tuple[str, ...] = ()

    def tokens_bound(self, model: Model) -> int:
        """The most prompt tokens that the request can be billed for."""
        return input_tokens_bound(
            body_bytes=self.body_bytes,
            messages=self.messages,
            image_parts=self.image_parts,
            file_parts=self.file_parts,
            image_tokens=model.image_tokens_bound,
            max_input_tokens=model.max_input_tokens,
        )

    def prompt_estimate(self, bound: int) -> int:
        """Prompt tokens where the upstream reports none."""
        return estimated_prompt_tokens(text_chars=_text_chars(self.body), messages=self.messages, bound=bound)


def parse_ask(body: bytes) -> Ask:
    """The request in the body. Raises :class:`RefusalError` (400) naming the parameter at fault."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusalError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise RefusalError(400, "invalid_json", "The body must be a JSON object.")
    return ask_of(document, len(body))


def ask_of(document: dict[str, Any], body_bytes: int) -> Ask:
    """The request in an object. `body_bytes` are those that the client sent. Raises :class:`RefusalError` (400)."""
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise _invalid("model", "model must be a string of 1 to 128 characters.")
    for name in UNPRICED:
        if document.get(name) is not None:
            raise _invalid(
                name, f"{name} is billed by other things than tokens and is not supported here.", "unsupported_parameter"
            )
    for name in REROUTING:
        if document.get(name) is not None:
            raise _invalid(
                name, f"{name} could change the price of the answer and is not supported here.", "unsupported_parameter"
            )
    if document.get("service_tier") not in DEFAULT_TIERS:
        raise _invalid("service_tier", "Only the default service tier is priced here.", "unsupported_parameter")
    return _ask(document, body_bytes, model)


def _ask(document: dict[str, Any], body_bytes: int, model: str) -> Ask:
    stream = _flag(document, "stream")
    messages, images, files, audio = _count_parts(document.get("messages"))
    return Ask(
        body=document,
        body_bytes=body_bytes,
        model=model,
        stream=stream,
        include_usage=_include_usage(document, stream=stream),
        cap=_cap(document),
        choices=_whole(document, "n", CHOICES_MAX) or 1,
        messages=messages,
        image_parts=images,
        file_parts=files,
        audio=audio,
    )


def _cap(document: dict[str, Any]) -> int | None:
    old, new = _whole(document, "max_tokens", OUTPUT_TOKENS_MAX), _whole(document, "max_completion_tokens", OUTPUT_TOKENS_MAX)
    if old is not None and new is not None:
        raise _invalid("max_tokens", "Give max_tokens or max_completion_tokens, not both.")
    return new if old is None else old


def _include_usage(document: dict[str, Any], *, stream: bool) -> bool:
    options = document.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise _invalid("stream_options", "stream_options must be an object.")
    if not stream:
        raise _invalid("stream_options", "stream_options is only allowed when stream is true.")
    return _flag(options, "include_usage", "stream_options.include_usage")


def _count_parts(messages: Any) -> tuple[int, int, int, str | None]:
    if not isinstance(messages, list) or not 0 < len(messages) <= MESSAGES_MAX:
        raise _invalid("messages", f"messages must be a list of 1 to {MESSAGES_MAX} messages.")
    images = files = 0
    audio: str | None = None
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _invalid(f"messages.{index}", "A message must be an object.")
        content = message.get("content")
        if message.get("audio") is not None:
            audio = f"messages.{index}.audio"
        if isinstance(content, str) or content is None:
            continue
        if not isinstance(content, list):
            raise _invalid(f"messages.{index}.content", "content must be a string or a list of parts.")
        for place, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str):
                raise _invalid(f"messages.{index}.content", "A part must be an object with a type.")
            images += kind in IMAGE_PARTS
            files += kind in FILE_PARTS
            if kind == AUDIO_PART:
                audio = f"messages.{index}.content.{place}"
    return len(messages), images, files, audio


def _text_chars(body: dict[str, Any]) -> int:
    """Characters of text in the messages, and of the tools' declarations."""
    chars = len(orjson.dumps(body["tools"])) if body.get("tools") else 0
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            chars += len(content)
        elif content is not None:
            chars += sum(len(part["text"]) for part in content if isinstance(part.get("text"), str))
    return chars


def _flag(document: dict[str, Any], key: str, param: str | None = None) -> bool:
    value = document.get(key)
    if value is not None and not isinstance(value, bool):
        raise _invalid(param or key, f"{param or key} must be true or false.")
    return bool(value)


def _whole(document: dict[str, Any], key: str, maximum: int) -> int | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= maximum:
        raise _invalid(key, f"{key} must be a whole number from 1 to {maximum}.")
    return value


def _invalid(param: str, message: str, code: str = "invalid_value") -> RefusalError:
    return RefusalError(400, code, message, param=param)
