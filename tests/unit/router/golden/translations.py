"""What the dialects and the client APIs make of the golden files' beginnings.

`python -m tests.unit.router.golden.translations` writes the files anew. Whoever does so reads the difference: the files are
what the formats mean, not what the code happens to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from schemas.money import Usage
from services.router.clients.chat import ChatCompletions
from services.router.clients.client_api import ClientApi
from services.router.clients.messages import Messages
from services.router.clients.naming import renamed
from services.router.clients.responses import Responses
from services.router.dialects.anthropic import Anthropic
from services.router.dialects.dialect import Dialect
from services.router.dialects.gemini import Gemini
from services.router.dialects.openai import priced
from services.router.dialects.openai_dialect import OpenAI
from services.router.dialects.openai_responses import OpenAIResponses
from services.router.errors import UpstreamError
from tests.unit.router.golden.inputs import ERRORS, REPLIES, REQUESTS, Json
from tests.unit.router.golden.streams import STREAMS

FILES = Path(__file__).parent / "files"
DIALECTS: dict[str, Dialect] = {
    "openai": OpenAI(),
    "openai-responses": OpenAIResponses(),
    "anthropic": Anthropic(clock=lambda: 5),
    "gemini": Gemini(clock=lambda: 5),
}
APIS: dict[str, ClientApi] = {"chat.completions": ChatCompletions(), "messages": Messages(), "responses": Responses()}
ASKS: dict[str, Json] = {name.partition(",")[0]: body for name, body in reversed(REQUESTS.items())}
COST = {"cost": "0.01", "currency": "USD", "bucket": "credit"}
CAP = 2_048


def golden() -> Iterator[tuple[str, Any]]:
    """Each file by its name, with what belongs into it."""
    for name, body in REQUESTS.items():
        api = APIS[name.partition(",")[0]]
        yield f"request {name}", {"asked": body, "sent": {dialect: sent(api, body, dialect) for dialect in DIALECTS}}
    for dialect, replies in REPLIES.items():
        for name, reply in replies.items():
            yield f"reply {dialect}, {name}", {"reply": reply, "told": told(dialect, reply)}
    for dialect, events in STREAMS.items():
        yield (
            f"stream {dialect}",
            {"events": events, "told": {name: streamed(dialect, api, events) for name, api in APIS.items()}},
        )
    for dialect, errors in ERRORS.items():
        yield f"errors {dialect}", [failure(dialect, status, body) for status, body in errors]


def sent(api: ClientApi, body: Json, dialect: str) -> Any:
    """What goes to a provider, or the parameter that it has no word for."""
    try:
        return orjson.loads(DIALECTS[dialect].request_body(api.parse(orjson.dumps(body)), "upstream-model", CAP))
    except UpstreamError as refused:
        return {"refused": orjson.loads(renamed(refused, api.names).body)["error"]["param"]}


def told(dialect: str, reply: Json) -> Json:
    """What each API tells its client, and the tokens that are charged."""
    found: Json = {}
    for name, api in APIS.items():
        read = DIALECTS[dialect].read_reply(orjson.dumps(reply))
        assert read.usage is not None
        found["usage"] = read.usage.model_dump()
        ask = api.parse(orjson.dumps(ASKS[name]))
        found[name] = orjson.loads(api.plain(ask, read, priced(read, read.usage, COST), COST))
    return found


def streamed(dialect: str, api: ClientApi, events: list[Json]) -> list[str]:
    """The client's events, one a line."""
    wire = b"".join([b"data: " + orjson.dumps(event) + b"\n\n" for event in events])
    wire += b"data: [DONE]\n\n" if dialect == "openai" else b""
    chunks = DIALECTS[dialect].stream(1, CAP)
    name = next(name for name, each in APIS.items() if each is api)
    stream = api.stream(api.parse(orjson.dumps(ASKS[name])), chunks)
    passed = stream.feed(wire)
    assert stream.complete
    assert stream.usage == Usage(input_tokens=8, cached_input_tokens=12, output_tokens=8, reasoning_tokens=5)
    ending = stream.ending(stream.usage, COST, include_usage=True)
    return [line for line in (passed + ending).decode().split("\n") if line]


def failure(dialect: str, status: int, body: Json) -> Json:
    """What an error means, and what of it the client sees."""
    found = DIALECTS[dialect].failure_of(status, orjson.dumps(body), None)
    seen = orjson.loads(found.body) if found.body else None
    return {"status": status, "body": body, "class": found.error_class, "verdict": found.verdict, "told": seen}


def path_of(name: str) -> Path:
    """Where a golden file lies."""
    return FILES / f"{name.replace(', ', '.').replace(' ', '-').replace(chr(39), '')}.json"


def main() -> None:
    """Write every file anew."""
    FILES.mkdir(exist_ok=True)
    for name, content in golden():
        path_of(name).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
