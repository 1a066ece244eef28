"""The simulator byte by byte: order, bounds, endings, and what is invoiced for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from .conftest import Provider


def connect(provider: Provider) -> socket.socket:
    parts = urlsplit(provider.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)


def raw(provider: Provider, extra: str = "", **fields: Any) -> bytes:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})
    head = (
        f"POST /{provider.channel}/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def tokens(count: int, **more: str) -> dict[str, str]:
    return {"sim_input_tokens": "10", "sim_output_tokens": str(count), **more}


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settled_invoice(provider: Provider) -> list[dict[str, Any]]:
    """The invoice once the simulator has noticed that the client is gone."""
    wait_until(provider.invoice)
    return provider.invoice()


def test_pipelined_requests_are_answered_in_order_slow_ones_included(provider: Provider) -> None:
    with connect(provider) as connection:
        sent = [
            raw(provider, metadata=tokens(1, sim_latency_ms="50")),
            raw(provider, metadata=tokens(2)),
            raw(provider, metadata=tokens(3, sim_chunk_ms="1"), stream=True, stream_options={"include_usage": True}),
            raw(provider, "Connection: close\r\n", metadata=tokens(4)),
        ]
        connection.sendall(b"".join(sent))
        received = read_to_end(connection)
    found = [received.index(b'"completion_tokens":%d' % count) for count in (1, 2, 3, 4)]
    assert found == sorted(found)
    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert received.count(b"connection: close") == 1


def test_many_pipelined_requests_wait_for_a_slow_one_and_none_is_lost(provider: Provider) -> None:
    with connect(provider) as connection:
        slow = raw(provider, metadata=tokens(1, sim_latency_ms="50"))
        connection.sendall(slow + raw(provider) * 100 + raw(provider, "Connection: close\r\n"))
        assert read_to_end(connection).count(b"HTTP/1.1 200 OK") == 102


def test_a_request_may_come_byte_by_byte(provider: Provider) -> None:
    with connect(provider) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw(provider, "Connection: close\r\n", metadata=tokens(5)):
            connection.sendall(bytes([byte]))
        assert b'"completion_tokens":5' in read_to_end(connection)


def test_a_client_that_waits_for_100_continue_gets_it(provider: Provider) -> None:
    request = raw(provider, "Expect: 100-continue\r\nConnection: close\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    with connect(provider) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /a/v1/chat/completions HTTP/1.1\r\nContent-Length: 17000000\r\n\r\n" + b" " * 17_000_000, b"413"),
    ],
)
def test_what_is_no_http_or_too_large_is_refused_and_hung_up_on(
    provider: Provider, request_bytes: bytes, status: bytes
) -> None:
    with connect(provider) as connection:
        try:
            connection.sendall(request_bytes)
            assert read_to_end(connection).startswith(b"HTTP/1.1 " + status)
        except (BrokenPipeError, ConnectionResetError):
            # The simulator hung up while we still sent: the kernel may drop its answer.
            assert status == b"413"


def test_a_refused_connection_is_reset_before_any_byte(provider: Provider) -> None:
    provider.script({"kind": "refuse"})
    with connect(provider) as connection:
        connection.sendall(raw(provider))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert provider.invoice() == []


def test_a_cut_stream_stops_after_its_chunks_and_is_billed_for_them(provider: Provider) -> None:
    provider.script({"kind": "cut", "after_chunks": 6})
    with connect(provider) as connection:
        connection.sendall(raw(provider, stream=True, metadata=tokens(50, sim_reasoning_tokens="10")))
        received = read_to_end(connection)
    assert received.count(b"data: ") == 6
    assert not received.endswith(b"0\r\n\r\n")
    line = provider.invoice()[0]
    assert (line["prompt_tokens"], line["completion_tokens"], line["reasoning_tokens"]) == (10, 15, 10)


def test_a_cut_plain_reply_is_half_and_billed_whole(provider: Provider) -> None:
    provider.script({"kind": "cut"})
    with connect(provider) as connection:
        connection.sendall(raw(provider, metadata=tokens(50)))
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    promised = int(head.partition(b"content-length: ")[2])
    assert len(body) == promised // 2
    assert (provider.invoice()[0]["completion_tokens"], provider.stats()["tokens_sent"]) == (50, 0)


def test_burned_usage_is_in_the_error_and_on_the_invoice(provider: Provider) -> None:
    provider.script({"kind": "burned", "status": 502})
    reply = httpx.post(
        f"{provider.base_url}/chat/completions",
        headers={"authorization": "Bearer k"},
        json={"model": "m", "messages": [{"role": "user", "content": "x"}], "metadata": tokens(40)},
    )
    assert reply.status_code == 502
    assert reply.json()["error"]["type"] == "server_error"
    assert reply.json()["usage"]["completion_tokens"] == 40
    assert (provider.invoice()[0]["completion_tokens"], provider.stats()["tokens_sent"]) == (40, 0)


def test_a_client_that_leaves_a_stream_is_billed_for_what_was_generated(provider: Provider) -> None:
    with connect(provider) as connection:
        connection.sendall(raw(provider, stream=True, metadata=tokens(10_000, sim_chunk_ms="5")))
        assert connection.recv(65_536)
    assert 0 <= settled_invoice(provider)[0]["completion_tokens"] < 10_000


def test_a_client_that_leaves_a_plain_request_is_billed_all_the_same(provider: Provider) -> None:
    with connect(provider) as connection:
        connection.sendall(raw(provider, metadata=tokens(70, sim_latency_ms="60000")))
        wait_until(lambda: provider.stats()["requests"] == 1)
    assert settled_invoice(provider)[0]["completion_tokens"] == 70


@pytest.mark.parametrize(("billed", "lines"), [(True, 1), (False, 0)])
def test_a_fault_may_say_whether_it_is_billed(provider: Provider, billed: bool, lines: int) -> None:
    provider.script({"kind": "500", "billed": billed})
    with connect(provider) as connection:
        connection.sendall(raw(provider, "Connection: close\r\n"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 500")
    assert len(provider.invoice()) == lines


def test_a_slow_fault_still_answers(provider: Provider) -> None:
    provider.script({"kind": "slow", "latency_ms": 30, "chunk_ms": 1})
    with connect(provider) as connection:
        connection.sendall(raw(provider, "Connection: close\r\n", stream=True, metadata=tokens(9)))
        assert b"data: [DONE]" in read_to_end(connection)
    assert provider.invoice()[0]["completion_tokens"] == 9


def test_an_instant_stream_has_an_http_chunk_for_every_event(provider: Provider) -> None:
    with connect(provider) as connection:
        connection.sendall(raw(provider, "Connection: close\r\n", stream=True, metadata=tokens(9)))
        body = read_to_end(connection).partition(b"\r\n\r\n")[2]
    chunks = []
    while body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    assert len(chunks) == 1 + 9 + 1 + 1 + 1
    assert all(chunk.startswith(b"data: ") for chunk in chunks[:-1])
    assert chunks[-1] == b""
