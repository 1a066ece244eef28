"""A provider's key is nowhere but in the request to the provider, whatever the provider does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest

from deploy.local.ports import free_port
from tests.canaries import assert_clean, canary_rows, echoing_provider, forms, found_in, records_of, rows_of, secret_for
from tests.integration.router.processes import Process
from tests.integration.router.rig import Asker, Lane, Rig

VARIABLE = "CANARY_KEY"
PAGES = {
    "router": (
        *("/metrics", "/admin/routes", "/admin/routes/export", "/admin/channels", "/admin/secrets", "/readyz", "/nowhere"),
    ),
    "settlement": (
        *("/metrics", "/admin/lag", "/admin/cases", "/admin/dead-letters", "/admin/ledger/checks", "/admin/unknown-ends"),
        "/admin/attempts?since=2020-01-01T00:00:00Z",
    ),
}


@contextmanager
def talkative_router(rig: Rig) -> Iterator[str]:
    """A router that logs everything that it and its libraries have to say."""
    port = free_port()
    settings = {"TOLLBOOK_PORT": str(port), "TOLLBOOK_LOG_LEVEL": "DEBUG", VARIABLE: secret_for("openai-error-401")}
    settings |= {"PYTHONASYNCIODEBUG": "1", "TOLLBOOK_TRIES_PER_CHANNEL": "1"}
    process = Process("services.router", {**rig.environment, **settings}, rig.log.with_name("talkative.log"))
    try:
        process.start(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


async def test_no_secret_leaves_the_router_but_to_its_provider(rig: Rig) -> None:
    lane = rig.lane()
    async with echoing_provider() as provider:
        channels, models = canary_rows(provider, VARIABLE)
        table = rig.table()
        table |= {"channels": table["channels"] + channels, "models": table["models"] + models}
        with talkative_router(rig) as url:
            answers = [await asyncio.to_thread(rig.http.post, url + "/admin/routes", content=orjson.dumps(table))]
            assert answers[0].is_success, answers[0].text
            asker = Asker(rig)
            asker.http.base_url = url
            asked, replies = await _everything(asker, lane, [row["id"] for row in models])
            await asker.http.aclose()
            pages = [await asyncio.to_thread(rig.http.get, url + page) for page in PAGES["router"]]
            bad = await asyncio.to_thread(rig.http.post, url + "/admin/routes", content=_wrong(table))
            assert bad.status_code == 422
            changed = orjson.dumps(table).replace(b"+gone=", b"+went=")
            answers.append(await asyncio.to_thread(rig.http.post, url + "/admin/routes/diff", content=changed))
            assert [each["id"] for each in answers[-1].json()["changes"]] == ["gone"]
    assert {secret_for(row["id"]) for row in channels} - {secret_for("gone")} == provider.keys
    records = await records_of(rig.kafka, asked)
    assert_clean("reply", replies)
    assert_clean("admin", [page.content + str(page.headers).encode() for page in [*answers, *pages, bad]])
    assert_clean("pages", [rig.http.get(rig.urls[name] + page).content for name in PAGES for page in PAGES[name]])
    assert assert_clean("topic", records) > 2 * len(asked)
    assert assert_clean("database", rows_of(rig.environment["DATABASE_URL"])) > 500
    logs = [path.read_bytes() for path in sorted(rig.log.parent.glob("*.log"))]
    assert assert_clean("log", logs) >= 4
    assert b"route_table_in_force" in rig.log.with_name("talkative.log").read_bytes()


FORMS = [*forms(), f"key={secret_for('a')}".encode(), orjson.dumps({"k": [secret_for("b")]})]


@pytest.mark.parametrize("text", FORMS, ids=range(len(FORMS)))  # the marker is another one in each session
def test_the_search_finds_what_it_looks_for(text: bytes) -> None:
    assert found_in(b"before " + text + b" after")


async def _everything(asker: Asker, lane: Lane, models: list[str]) -> tuple[list[UUID], list[bytes]]:
    """Ask each model, plain and as a stream; the ids of the requests, and all that the client saw."""
    ids: list[UUID] = []
    replies: list[bytes] = []
    for model in models:
        for stream in (False, True):
            request_id, reply = await asker.ask(Lane(model, lane.account_id), stream=stream, max_tokens=9)
            replies.append(repr(reply.headers.multi_items()).encode() + reply.body)
            if "x-tollbook-rejected" not in reply.headers:
                ids.append(request_id)
    return ids, replies


def _wrong(table: dict[str, Any]) -> bytes:
    """The table with a mistake beside a secret: its refusal must not repeat what it read."""
    last = {**table["channels"][-1], "keys": [{"secret": secret_for("wrong"), "secret_env": secret_for("wrong")}]}
    return orjson.dumps({**table, "channels": [*table["channels"][:-1], last]})


async def test_an_address_that_a_client_names_is_asked_by_nobody(rig: Rig) -> None:
    """Images, files and all parameters with which other gateways let a client choose the address."""
    lane, visits = rig.lane(), []

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(1)
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    image = {"type": "image_url", "image_url": {"url": f"{address}/a.png"}}
    named: dict[str, Any] = {
        name: address
        for name in ("base_url", "api_base", "api_url", "endpoint", "target_url", "proxy", "webhook", "callback_url")
    }
    headers = {"x-base-url": address, "x-target-url": address, "x-forwarded-host": address, "host": "127.0.0.1"}
    async with server, echoing_provider() as provider:
        channels, models = canary_rows(provider, VARIABLE)
        table = rig.table()
        table |= {"channels": table["channels"] + channels, "models": table["models"] + models}
        await asyncio.to_thread(rig.post, "router", "/admin/routes", content=orjson.dumps(table))
        asker = Asker(rig)
        asker.http.headers.update(headers)
        for dialect in ("openai", "anthropic", "gemini"):
            messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
            await asker.ask(Lane(f"{dialect}-good", lane.account_id), messages=messages, max_tokens=9)
            await asker.ask(Lane(f"{dialect}-good", lane.account_id), max_tokens=9, **named)
        await asker.http.aclose()
    assert provider.keys >= {secret_for("openai-good"), secret_for("anthropic-good")}
    assert visits == []
