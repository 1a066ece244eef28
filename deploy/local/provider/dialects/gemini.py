"""Gemini's wire format, replies: generateContent (plain and streamed), function calls, thoughts, models, errors.

Shapes as in the reference of the Gemini API (`GenerateContentResponse`, `Candidate`, `UsageMetadata`, `Model`), in
`google.rpc.Status` and in the official `google-genai` package's types. What a request says is read in `gemini_request.py`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from deploy.local.provider import speech
from deploy.local.provider.ask import Ask, Shape, Usage
from deploy.local.provider.dialects import Events, Headers, Stamp, gemini_request
from deploy.local.provider.errors import RefusedError

MODELS = ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite")
"""What `/models` lists. Content is generated for any model name."""

WORDS_PER_EVENT = 4
SIGNATURE = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="

_PATH = re.compile(rb"v1(?:beta)?/models/([A-Za-z0-9._-]{1,128}):(generateContent|streamGenerateContent)")
_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_TEXTS = {
    429: "You exceeded your current quota, please check your plan and billing details.",
    503: "The model is overloaded. Please try again later.",
    504: "The service is unable to finish processing within the deadline.",
}
_FAILURE = "An internal error has occurred. Please retry."


class Gemini:
    """The `Dialect` of the Gemini API. Model and streaming stand in the path: an instance answers for one of each."""

    models_paths: tuple[bytes, ...] = (b"v1beta/models", b"v1/models")
    id_prefix = b""
    request_id_header = b"x-request-id"
    marker: bytes | None = b"x-goog-api-key"

    def __init__(self, model: str = "", *, stream: bool = False, query: bytes = b"") -> None:
        self._model = model
        self._stream = stream
        self._query = query

    def at(self, path: bytes, query: bytes) -> Gemini | None:
        """`models/{model}:generateContent` and `models/{model}:streamGenerateContent`."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        return Gemini(found[1].decode(), stream=found[2] == b"streamGenerateContent", query=query)

    def authorize(self, headers: Headers) -> None:
        """Want `x-goog-api-key: <anything>`."""
        gemini_request.authorize(headers, self._query)

    def parse(self, raw: bytes) -> dict[str, Any]:
        """The JSON object."""
        return gemini_request.parse(raw)

    def shape(self, body: dict[str, Any]) -> Shape:
        """Form without text."""
        return gemini_request.shape(body, self._model, stream=self._stream)

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply."""
        if self._stream and b"alt=sse" not in self._query.split(b"&"):
            message = "The simulator streams server-sent events only: ask with alt=sse."
            raise RefusedError(400, message, param="alt", code="INVALID_ARGUMENT")
        return gemini_request.read(body, self._model, stream=self._stream)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A `GenerateContentResponse`."""
        thoughts = [_thought(speech.thought(ask))] if _shows(ask) else []
        said = [*thoughts, *_answer(ask, stamp)]
        candidates = [_candidate(index, said, _finish(ask)) for index in range(ask.choices)]
        return orjson.dumps(_response(ask, stamp, candidates, ask.usage))

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """Whole responses with a part of the text each; `usageMetadata` counts what was said until then."""
        spoken = _spoken(ask, stamp)
        visible = ask.usage.completion - ask.usage.reasoning
        events = [_thinking(ask, stamp)] if _shows(ask) else []
        for number, parts in enumerate(spoken, start=1):
            finish = _finish(ask) if number == len(spoken) else None
            usage = ask.usage._replace(completion=ask.usage.reasoning + visible * number // len(spoken))
            candidates = [_candidate(index, parts, finish) for index in range(ask.choices)]
            events.append(_event(_response(ask, stamp, candidates, usage)))
        return Events(events, lead=len(events) - len(spoken), span=len(spoken))

    def refusal(self, refused: RefusedError, stamp: Stamp | None = None) -> bytes:
        """A `google.rpc.Status`, with the field at fault in its details."""
        body = _status(refused.status, refused.message, refused.code)
        if refused.status == 400:
            violation = {"description": refused.message}
            fields = [{"field": refused.param, **violation} if refused.param else violation]
            body["details"] = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}]
        return orjson.dumps({"error": body})

    def failure(self, status: int, usage: Usage | None = None, stamp: Stamp | None = None) -> bytes:
        """A provider's own error. Statuses without a text of their own say what a 500 says."""
        body: dict[str, Any] = {"error": _status(status, _TEXTS.get(status, _FAILURE))}
        if usage is not None:
            body["usageMetadata"] = _usage(usage)
        return orjson.dumps(body)

    def models(self) -> bytes:
        """The list of models, on one page."""
        return orjson.dumps({"models": [_described(name) for name in MODELS]})

    def model(self, model_id: str) -> bytes:
        """One model, if `/models` lists it."""
        if model_id not in MODELS:
            message = f"models/{model_id} is not found for API version v1beta, or is not supported for generateContent."
            raise RefusedError(404, message, code="NOT_FOUND")
        return orjson.dumps(_described(model_id))


def _described(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}", "version": "001", "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536, "thinking": True,
        "supportedGenerationMethods": ["generateContent"],
    }  # fmt: skip


def _status(code: int, message: str, status: str | None = None) -> dict[str, Any]:
    named = status or _STATUSES.get(code, "INTERNAL" if code >= 500 else "INVALID_ARGUMENT")
    return {"code": code, "message": message, "status": named}


def _event(response: dict[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % orjson.dumps(response)


def _response(ask: Ask, stamp: Stamp, candidates: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
    return {
        "candidates": candidates, "usageMetadata": _usage(usage), "modelVersion": ask.model,
        "responseId": stamp.reply_id,
    }  # fmt: skip


def _usage(usage: Usage) -> dict[str, Any]:
    """`candidatesTokenCount` leaves out the thoughts; counts of nothing are left out, as protocol buffers do."""
    counts = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.completion - usage.reasoning,
        "totalTokenCount": usage.prompt + usage.completion,
        "cachedContentTokenCount": usage.cached,
        "thoughtsTokenCount": usage.reasoning,
    }
    details = {"promptTokensDetails": usage.prompt, "cacheTokensDetails": usage.cached}
    return {
        **{name: count for name, count in counts.items() if count},
        **{name: [{"modality": "TEXT", "tokenCount": count}] for name, count in details.items() if count},
    }


def _finish(ask: Ask) -> str:
    return "MAX_TOKENS" if ask.finish == "length" else "STOP"


def _candidate(index: int, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    return {"content": content, **({"finishReason": finish} if finish else {}), "index": index}


def _shows(ask: Ask) -> bool:
    return ask.shows_thinking and ask.usage.reasoning > 0


def _thought(text: str) -> dict[str, Any]:
    return {"text": text, "thought": True}


def _answer(ask: Ask, stamp: Stamp) -> list[dict[str, Any]]:
    """The visible parts. A call that the cap cut is not said at all."""
    if ask.tool is None:
        return [{"text": speech.said(ask)}] if ask.words else []
    if ask.finish == "length":
        return []
    call = {"id": f"call_{stamp.id.decode()}", "name": ask.tool.name, "args": orjson.loads(ask.tool.arguments)}
    return [{"functionCall": call, **({"thoughtSignature": SIGNATURE} if ask.usage.reasoning else {})}]


def _spoken(ask: Ask, stamp: Stamp) -> list[list[dict[str, Any]]]:
    """The parts of each event that carries tokens; a function call comes in one."""
    if ask.tool is not None or not ask.words:
        return [_answer(ask, stamp)]
    count = -(-ask.words // WORDS_PER_EVENT)
    return [[{"text": text}] for text in speech.parts(ask, count)]


def _thinking(ask: Ask, stamp: Stamp) -> bytes:
    """The thoughts come first, in an event of their own."""
    usage = ask.usage._replace(completion=ask.usage.reasoning)
    candidates = [_candidate(index, [_thought(speech.thought(ask))], None) for index in range(ask.choices)]
    return _event(_response(ask, stamp, candidates, usage))
