"""One request, one record: whatever breaks on the way."""

from __future__ import annotations

from typing import cast

import orjson
import pytest

from services.router.call import Call, Outgoing
from services.router.dialects.openai import read_reply
from services.router.errors import LogUnavailableError, SettledTwiceError, UpstreamError
from services.router.events import Record
from services.router.plain import price
from services.router.publisher import Publisher
from services.router.settling import Settler
from tests.unit.router.things import call, catalog, channel, model

CATALOG = catalog([channel("a")], [model("gpt-4o", "a")])
DEEP = b'{"a":' * 400 + b"1" + b"}" * 400
USAGE = b'{"prompt_tokens":5,"completion_tokens":6}'


class Log:
    """Keeps what is written, and is away where it is told to be."""

    def __init__(self, *, away: bool = False) -> None:
        self.types: list[str] = []
        self._away = away

    async def put_and_wait(self, _: str, records: list[Record]) -> None:
        self.types += [record.type for record in records]
        if self._away:
            raise LogUnavailableError("away")


def settler(log: Log) -> Settler:
    return Settler(cast(Publisher, log))


async def test_a_request_is_never_settled_twice() -> None:
    log, request = Log(), call(CATALOG)
    await settler(log).settle(request, Outgoing("succeeded", 200))
    with pytest.raises(SettledTwiceError):
        await settler(log).settle(request, Outgoing("failed", 502, "internal"))
    assert log.types == ["RequestCompleted"]


async def test_a_record_that_may_be_in_the_log_is_not_contradicted_by_another() -> None:
    log, request = Log(away=True), call(CATALOG)
    with pytest.raises(LogUnavailableError):
        await settler(log).settle(request, Outgoing("succeeded", 200))
    with pytest.raises(SettledTwiceError):
        await settler(log).settle(request, Outgoing("failed", 502, "internal"))
    assert log.types == ["RequestCompleted"]


@pytest.mark.parametrize(
    ("body", "burned"),
    [
        (b'{"choices":[{"message":{"content":"hi","z":' + DEEP + b'}}],"usage":' + USAGE + b"}", 11),
        (b'{"choices":[{"message":{"content":"hi"}}],"usage":' + USAGE[:-1] + b',"z":' + DEEP + b"}}", 11),
        (b'{"choices":[{"message":{"content":"hi","z":' + DEEP + b"}}]}", None),
    ],
    ids=["message", "usage", "without usage"],
)
def test_a_reply_too_deep_to_write_again_is_malformed_and_keeps_what_it_burned(body: bytes, burned: int | None) -> None:
    request: Call = call(CATALOG)
    reply = read_reply(body)
    with pytest.raises(UpstreamError) as caught:
        price(request, request.begin(0, 0, 100.0), reply)
    assert (caught.value.error_class, caught.value.verdict) == ("malformed_reply", "next")
    assert (caught.value.usage.total_tokens if caught.value.usage else None) == burned


def test_a_reply_is_priced_before_anything_is_charged() -> None:
    request: Call = call(CATALOG)
    priced = price(request, request.begin(0, 0, 100.0), read_reply(b'{"choices":[{"index":0}],"usage":' + USAGE + b"}"))
    assert (priced.source, request.attempts) == ("reported", [])
    assert orjson.loads(priced.body)["usage"]["cost"]
