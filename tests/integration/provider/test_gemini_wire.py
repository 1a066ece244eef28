"""Gemini's API over HTTP: paths, key, events, errors."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from tests.integration.provider.conftest import Provider

KEY = {"x-goog-api-key": "any"}


def ask(provider: Provider, method: str, text: str = "hi", **fields: Any) -> httpx.Response:
    url = f"/{provider.channel}/v1beta/models/gemini-2.5-flash:{method}"
    return provider.http.post(url, headers=KEY, json={"contents": [{"role": "user", "parts": [{"text": text}]}], **fields})


def test_content_is_generated_and_billed(provider: Provider) -> None:
    reply = ask(provider, "generateContent", "[sim input_tokens=80 output_tokens=12 reasoning_tokens=5]")
    assert reply.status_code == 200
    assert reply.json()["usageMetadata"]["totalTokenCount"] == 92
    line = provider.invoice()[0]
    assert (line["model"], line["prompt_tokens"], line["completion_tokens"]) == ("gemini-2.5-flash", 80, 12)
    assert provider.requests()[0]["model"] == "gemini-2.5-flash"


def test_a_stream_is_server_sent_events_with_crlf(provider: Provider) -> None:
    reply = ask(provider, "streamGenerateContent?alt=sse", "[sim output_tokens=9]")
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.content.split(b"\r\n\r\n")
    assert events.pop() == b""
    last = orjson.loads(events[-1].removeprefix(b"data: "))
    assert (last["candidates"][0]["finishReason"], last["usageMetadata"]["candidatesTokenCount"]) == ("STOP", 9)


def test_a_cut_stream_is_billed_as_its_last_event_counts(provider: Provider) -> None:
    provider.script({"kind": "cut", "after_chunks": 2})
    url = f"/{provider.channel}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    body = {"contents": [{"parts": [{"text": "[sim output_tokens=40]"}]}]}
    seen = b""
    try:
        with provider.http.stream("POST", url, headers=KEY, json=body) as reply:
            for piece in reply.iter_bytes():
                seen += piece
    except httpx.RemoteProtocolError:
        counted = orjson.loads(seen.split(b"\r\n\r\n")[1].removeprefix(b"data: "))["usageMetadata"]["candidatesTokenCount"]
        assert (counted, provider.invoice()[0]["completion_tokens"]) == (8, 8)
    else:
        raise AssertionError("the stream was not cut")


def test_a_key_is_wanted(provider: Provider) -> None:
    url = f"/{provider.channel}/v1beta/models/gemini-2.5-flash:generateContent"
    assert provider.http.post(url, json={}).json()["error"]["status"] == "PERMISSION_DENIED"
    assert (
        provider.http.get(f"/{provider.channel}/v1beta/models", headers=KEY).json()["models"][0]["name"]
        == "models/gemini-2.5-pro"
    )


def test_a_scripted_status_has_googles_shape(provider: Provider) -> None:
    provider.script({"kind": "503"}, {"kind": "burned", "status": 500})
    assert ask(provider, "generateContent").json()["error"]["status"] == "UNAVAILABLE"
    burned = ask(provider, "generateContent", "[sim output_tokens=40]").json()
    assert (burned["error"]["status"], burned["usageMetadata"]["candidatesTokenCount"]) == ("INTERNAL", 40)
