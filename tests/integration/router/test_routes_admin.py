"""The route table: put in force, kept sealed, reloaded under load, refused whole where it is wrong."""

from __future__ import annotations

import asyncio
import time
from copy import deepcopy

import orjson
import psycopg
import pytest

from tests.integration.router.processes import Process
from tests.integration.router.rig import EDGE, Asker, Rig, story


def posted(rig: Rig, table: object) -> int:
    version: int = rig.post("router", "/admin/routes", content=orjson.dumps(table))["version"]
    return version


async def test_the_same_table_again_makes_no_new_version(rig: Rig) -> None:
    version = posted(rig, rig.table())
    assert posted(rig, rig.table()) == version
    changed = rig.table()
    changed["channels"][0]["cost_factor"] = "0.7"
    assert posted(rig, changed) == version + 1
    assert posted(rig, rig.table()) == version + 2


async def test_a_changed_secret_alone_makes_a_new_version(rig: Rig) -> None:
    version = posted(rig, rig.table())
    changed = rig.table()
    changed["channels"][0]["keys"][0]["secret"] = "sk-rotated"
    assert posted(rig, changed) == version + 1
    assert posted(rig, rig.table()) == version + 2


async def test_secrets_are_nowhere_but_sealed(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    await asker.ask(lane)
    secret = f"sk-{lane.main}"
    assert secret.encode() not in orjson.dumps(rig.get("router", "/admin/routes"))
    assert secret.encode() not in orjson.dumps(rig.get("router", "/admin/channels"))
    assert secret not in rig.log.read_text()
    with psycopg.connect(rig.environment["DATABASE_URL"]) as connection:
        dump = connection.execute("SELECT document::text FROM router.route_table").fetchall()
        sealed = connection.execute("SELECT sealed FROM router.channel_key WHERE channel_id = %s", [lane.main]).fetchall()
    assert secret not in str(dump)
    assert sealed
    assert all(secret.encode() not in bytes(row[0]) for row in sealed)
    assert rig.asked(lane.main)[-1]["authorization"] is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://127.0.0.1:1/v1?x=1"}, "no user, query or fragment"),
        ({"base_url": "${PROVIDER}/v1"}, "unfilled"),
        ({"dialect": "klingon"}, "dialect"),
        ({"base_url": "http://169.254.169.254/v1"}, "metadata"),
        ({"base_url": "http://api.openai.com/v1"}, "https"),
        ({"keys": []}, "keys"),
        ({"keys": [{"secret": "(sealed)"}]}, "give the secret itself"),
    ],
)
async def test_a_wrong_table_is_refused_and_the_one_in_force_stays(rig: Rig, change: dict[str, object], said: str) -> None:
    before = rig.get("router", "/admin/routes")
    table = rig.table()
    table["channels"][0] |= change
    reply = rig.http.post(rig.urls["router"] + "/admin/routes", content=orjson.dumps(table))
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_route_table")
    assert "channel m0-main" in reply.json()["error"]["message"]
    assert said in reply.json()["error"]["message"]
    assert rig.get("router", "/admin/routes") == before


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("POST", "/admin/routes", EDGE),
        ("GET", "/admin/routes", None),
        ("GET", "/admin/channels", "wrong"),
        ("GET", "/internal/models", "admin-token"),
        ("POST", "/internal/v1/chat/completions", "admin-token"),
        ("POST", "/internal/v1/chat/completions", None),
    ],
)
async def test_every_door_wants_its_own_token(asker: Asker, method: str, path: str, token: str | None) -> None:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    reply = await asker.http.request(method, path, headers=headers, content=b"{}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorized")


async def test_a_reload_under_load_drops_no_request_and_reaches_every_instance(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    other = Process("services.router", {**rig.environment, "TOLLBOOK_PORT": str(_free())}, rig.log.with_name("other.log"))
    other_url = f"http://127.0.0.1:{other._environment['TOLLBOOK_PORT']}"
    other.start(other_url + "/readyz")
    moved = deepcopy(rig.table())
    [model] = [row for row in moved["models"] if row["id"] == lane.model]
    model["candidates"] = model["candidates"][1:]
    over = asyncio.Event()
    seen: set[str] = set()

    async def client() -> None:
        while not over.is_set():
            _, reply = await asker.ask(lane, stream=True)
            assert reply.events[-1] == "[DONE]"
            seen.add(reply.headers["x-tollbook-channel"])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(client())
            for table in (moved, rig.table(), moved):
                version = await asyncio.to_thread(posted, rig, table)
            give_up_at = time.monotonic() + 90
            while rig.http.get(other_url + "/admin/channels").json()["version"] != version:
                assert time.monotonic() < give_up_at
                await asyncio.sleep(0.02)
            _, reply = await asker.ask(lane)
            over.set()
    finally:
        other.stop()
        posted(rig, rig.table())
    assert reply.headers["x-tollbook-channel"] == lane.backup
    assert seen <= {lane.main, lane.backup}


async def test_a_channel_that_keeps_failing_is_skipped_and_shown(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "503", "times": 5})
    for _ in range(3):
        await asker.ask(lane)
    [shown] = [row for row in rig.get("router", "/admin/channels")["data"] if row["id"] == lane.main]
    assert (shown["circuit"], shown["last_error_class"]) == ("open", "upstream_unavailable")
    request_id, reply = await asker.ask(lane)
    assert (reply.status, reply.headers["x-tollbook-channel"], reply.headers["x-tollbook-attempts"]) == (200, lane.backup, "1")
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    [fallback] = told.completed.fallbacks
    assert (fallback.from_channel, fallback.to_channel, fallback.reason) == (lane.main, lane.backup, "circuit_open")
    assert (fallback.from_attempt, fallback.to_attempt) == (None, 1)
    assert [each.channel for each in told.completed.plan] == [lane.main, lane.backup, lane.pool]


def _free() -> int:
    from deploy.local.ports import free_port

    return free_port()
