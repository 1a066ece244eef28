"""`/v1/usage` as edge passes it on: a sheet comes as it is written, and one that breaks off never looks whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from services.edge.errors import PassedOnError, PeerUnavailableError
from services.edge.usage import Usage
from tests.unit.edge.values import caller

HEAD = {"content-type": "text/csv; charset=utf-8", "content-disposition": 'attachment; filename="usage.csv"', "x-own": "no"}
JSON = {"content-type": "application/json"}


class Pieces(httpx.AsyncByteStream):
    """A body that comes piece by piece: one that is None breaks off, "" is waited for in vain."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
            if not piece:
                await asyncio.Event().wait()
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Client:
    """Who asks edge: what it was sent, and whether it leaves after so many pieces."""

    def __init__(self, leaves_after: int | None = None) -> None:
        self.sent: list[Message] = []
        self._leaves_after = leaves_after
        self._left = asyncio.Event()

    async def asks(self, body: Pieces, status: int = 200, headers: dict[str, str] | None = None) -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/v1/usage",
            "query_string": b"format=csv",
            "headers": [],
        }
        answer = httpx.Response(status, headers=headers or HEAD, stream=body)
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer), base_url="http://analytics") as http:
            reply = await Usage(http).report(Request(scope), caller())
            await reply(scope, self._receive, self._send)

    @property
    def pieces(self) -> list[bytes]:
        return [each["body"] for each in self.sent[1:] if each.get("more_body")]

    @property
    def told_the_end(self) -> bool:
        return any(each["type"] == "http.response.body" and not each.get("more_body") for each in self.sent)

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.pieces) == self._leaves_after:
            self._left.set()


async def test_a_sheet_is_passed_on_piece_by_piece() -> None:
    client, body = Client(), Pieces(b"model,requests\r\n", b"a,1\r\n")
    await client.asks(body)
    assert (client.pieces, client.told_the_end, body.closed) == ([b"model,requests\r\n", b"a,1\r\n"], True, True)
    kept = {name.decode(): value.decode() for name, value in client.sent[0]["headers"]}
    assert kept == {name: value for name, value in HEAD.items() if name != "x-own"}


async def test_a_sheet_that_breaks_off_is_not_ended_as_if_it_were_whole() -> None:
    client, body = Client(), Pieces(b"model,requests\r\n", b"a,1\r\n", None)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.asks(body)
    assert (len(client.pieces), client.told_the_end, body.closed) == (2, False, True)


async def test_a_client_that_leaves_ends_the_report() -> None:
    client, body = Client(leaves_after=1), Pieces(b"model,requests\r\n", b"")
    await client.asks(body)
    assert (client.told_the_end, body.closed) == (False, True)


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (400, b'{"error": {"message": "`from` must lie before `to`", "code": "invalid_request"}}', PassedOnError),
        (503, b'{"error": {"message": "ClickHouse is away", "code": "unavailable"}}', PeerUnavailableError),
        (400, b"no JSON", PeerUnavailableError),
        (200, None, PeerUnavailableError),
    ],
)
async def test_what_is_no_sheet_is_an_error_and_its_connection_is_given_back(
    status: int, content: bytes | None, error: type[Exception]
) -> None:
    body = Pieces(content)
    with pytest.raises(error):
        await Client().asks(body, status, JSON)
    assert body.closed


async def test_every_filter_reaches_analytics_of_the_callers_account_alone() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    query = b"channel=c&tag=a%3Db&tag=c&account_id=acc_other&key_id=k1&key_id=k2"
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/v1/usage", "query_string": query, "headers": []}
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://analytics") as http:
        await Usage(http).report(Request(scope), caller())
    (request,) = asked
    assert request.url.path == f"/internal/accounts/{caller().account_id}/usage"
    assert sorted(request.url.params.multi_items()) == [("channel", "c"), ("key_id", "k2"), ("tag", "a=b"), ("tag", "c")]


async def test_a_channel_is_passed_on_to_be_refused_rather_than_left_out() -> None:
    asked: list[httpx.URL] = []

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, headers=JSON, content=b"{}")

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"channel=main&account_id=other", "headers": []}
    async with httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://analytics") as http:
        await Usage(http).report(Request(scope), caller())
        await Usage(http).explain(Request(scope), caller())
    assert [(url.params.get("channel"), "account_id" in url.params) for url in asked] == [("main", False)] * 2
