"""Channels' keys in the running router: rotated while it serves, absent without holding anything up, fixed to their address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typer.testing import CliRunner

from deploy.local.ports import free_port
from services.console.cli import app
from tests.integration.router.processes import Process
from tests.integration.router.rig import ADMIN, Asker, Rig

FIRST, SECOND = "0f" * 32, "f0" * 32


@contextmanager
def another_router(rig: Rig, **environment: str) -> Iterator[str]:
    """A second router on the same tables, under other settings."""
    port = free_port()
    name = f"{len(list(rig.log.parent.iterdir()))}.log"
    process = Process(
        "services.router", {**rig.environment, "TOLLBOOK_PORT": str(port), **environment}, rig.log.with_name(name)
    )
    try:
        process.start(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def rows(rig: Rig, sql: str) -> list[Any]:
    with psycopg.connect(rig.environment["DATABASE_URL"], autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def seal_as_before_keys_had_ids(rig: Rig, channel: str) -> None:
    """Put a secret into the table as it was stored before migration 0002."""
    with psycopg.connect(rig.environment["DATABASE_URL"], autocommit=True) as connection:
        [origin] = connection.execute(
            "SELECT DISTINCT origin FROM router.channel_key WHERE channel_id = %s", [channel]
        ).fetchall()
        nonce = os.urandom(12)
        label = f"tollbook-channel\x00{channel}\x00{origin[0]}".encode()
        sealed = AESGCM(bytes.fromhex(FIRST)).encrypt(nonce, f"sk-{channel}".encode(), label)
        connection.execute(
            "UPDATE router.channel_key SET nonce = %s, sealed = %s, form = 1, key_id = NULL WHERE channel_id = %s",
            [nonce, sealed, channel],
        )


def tollbook(url: str, *arguments: str) -> tuple[int, Any]:
    """The command, as an operator runs it."""
    result = CliRunner().invoke(app, ["--router-url", url, "--admin-token", ADMIN, "secrets", *arguments, "--json"])
    return result.exit_code, orjson.loads(result.stdout)


async def test_a_rotation_loses_no_secret_and_ends_with_one_key(rig: Rig, asker: Asker) -> None:
    lane, other = rig.lane(), rig.lane()
    seal_as_before_keys_had_ids(rig, lane.main)
    with another_router(rig, TOLLBOOK_SECRETS_KEY=SECOND, TOLLBOOK_FORMER_SECRETS_KEYS=FIRST) as url:
        _, before = tollbook(url, "status")
        assert {row["key_id"] for row in before["sealed"]} == {None, *(row["key_id"] for row in before["sealed"][1:])}
        assert before["current_key_id"] not in {row["key_id"] for row in before["sealed"]}
        code, done = tollbook(url, "rotate")
        assert (code, done["unreadable"]) == (0, [])
        assert done["resealed"] == sum(row["secrets"] for row in before["sealed"])
        code, again = tollbook(url, "rotate")
        assert (code, again["resealed"], again["already"]) == (0, 0, done["resealed"])
        entries = rig.get("router", "/admin/audit-log", entity_kind="secrets", limit="500")["data"]
        whole = [each["after"] for each in entries if each["entity_id"] == "all"]
        assert [each["resealed"] for each in whole[:2]] == [0, done["resealed"]]
        versions = [each for each in entries if each["entity_id"] != "all" and each["after"]["key_id"] == done["key_id"]]
        assert sum(each["after"]["resealed"] for each in versions) == done["resealed"]
        assert "" in {key_id for each in versions for key_id in each["before"]["key_ids"]}
        _, after = tollbook(url, "status")
        assert after["sealed"] == [{"key_id": done["key_id"], "secrets": done["resealed"]}]
    with another_router(rig, TOLLBOOK_SECRETS_KEY=SECOND) as url:
        version = rig.get("router", "/admin/routes")["version"]
        reply = rig.http.post(url + "/admin/routes", content=orjson.dumps(rig.table()))
        assert reply.json() == {"version": version, "faults": []}
        asked = Asker(rig)
        asked.http.base_url = url
        _, answer = await asked.ask(lane)
        await asked.http.aclose()
        assert answer.status == 200
    _, answer = await asker.ask(other)
    assert answer.status == 200
    with another_router(rig, TOLLBOOK_SECRETS_KEY=FIRST, TOLLBOOK_FORMER_SECRETS_KEYS=SECOND) as url:
        assert tollbook(url, "rotate")[0] == 0


async def test_a_variable_that_is_not_set_stops_its_channel_alone(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    table = rig.table()
    [channel] = [row for row in table["channels"] if row["id"] == lane.main]
    channel["keys"] = [{"secret_env": "NOT_SET_ANYWHERE"}]
    answer = rig.post("router", "/admin/routes", content=orjson.dumps(table))
    assert [(each["channel"], each["out_of_service"]) for each in answer["faults"]] == [(lane.main, True)]
    assert "NOT_SET_ANYWHERE is not set" in answer["faults"][0]["reason"]
    shown = {row["id"]: row for row in rig.get("router", "/admin/channels")["data"]}
    assert shown[lane.main]["out_of_service"]
    assert "NOT_SET_ANYWHERE" in shown[lane.main]["fault"]
    assert (shown[lane.backup]["out_of_service"], shown[lane.backup]["fault"]) == (False, None)
    assert "tollbook_router_channels_out_of_service 1.0" in rig.http.get(rig.urls["router"] + "/metrics").text
    _, reply = await asker.ask(lane)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    with another_router(rig, NOT_SET_ANYWHERE=f"sk-{lane.main}") as url:
        shown = {row["id"]: row for row in rig.http.get(url + "/admin/channels").json()["data"]}
        assert not shown[lane.main]["out_of_service"]
    rig.post("router", "/admin/routes", content=orjson.dumps(rig.table()))


@pytest.mark.parametrize("path", ["/admin/routes", "/admin/routes/diff"])
async def test_a_variable_of_routers_own_is_refused_at_every_door(rig: Rig, path: str) -> None:
    lane = rig.lane()
    table = rig.table()
    [channel] = [row for row in table["channels"] if row["id"] == lane.main]
    channel["keys"] = [{"secret_env": "TOLLBOOK_ADMIN_TOKEN"}]
    reply = rig.http.post(rig.urls["router"] + path, content=orjson.dumps(table))
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_route_table")
    assert f"channel {lane.main}: keys.0.secret_env: TOLLBOOK_ADMIN_TOKEN is a variable" in reply.json()["error"]["message"]


@pytest.mark.parametrize("change", ["base_url", "brand"])
async def test_a_channel_that_was_changed_behind_the_table_s_back_gets_no_key(
    rig: Rig, change: str, tampered: Callable[[str, str, str], None]
) -> None:
    lane = rig.lane()
    tampered(lane.main, change, {"base_url": "http://127.0.0.1:9/steal/v1", "brand": "thief"}[change])
    with another_router(rig) as url:
        shown = {row["id"]: row for row in rig.http.get(url + "/admin/channels").json()["data"]}
        assert shown[lane.main]["out_of_service"]
        assert "does not open" in shown[lane.main]["fault"]
        assert not shown[lane.backup]["out_of_service"]


@pytest.fixture
def tampered(rig: Rig) -> Iterator[Callable[[str, str, str], None]]:
    """Changes a channel in the stored table, as nobody but the database's owner can, and puts it back."""
    [(version, document)] = rows(rig, "SELECT version, document FROM router.route_table ORDER BY version DESC LIMIT 1")

    def write(changed: Any) -> None:
        with psycopg.connect(rig.environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(
                "UPDATE router.route_table SET document = %s WHERE version = %s", [orjson.dumps(changed).decode(), version]
            )

    def tamper(channel: str, field: str, value: str) -> None:
        changed = orjson.loads(orjson.dumps(document))
        [row] = [row for row in changed["channels"] if row["id"] == channel]
        row[field] = value
        write(changed)

    yield tamper
    write(document)


def test_the_service_s_login_may_change_how_a_secret_is_sealed_and_nothing_else(rig: Rig) -> None:
    granted = rows(
        rig,
        "SELECT table_name, column_name FROM information_schema.column_privileges"
        " WHERE grantee = 'tollbook_router' AND table_schema = 'router' AND privilege_type = 'UPDATE'"
        " AND table_name NOT IN ('batch', 'channel_freeze') ORDER BY 1, 2",  # these go through states, whole row by whole row
    )
    columns = [("channel_key", name) for name in ("form", "key_id", "nonce", "sealed")]
    assert granted == [*columns, ("route_table", "fingerprint")]
