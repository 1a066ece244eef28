"""Channels and models one by one, frozen channels, the table's versions, and the log of every change."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

import httpx
import orjson
import psycopg
import pytest
from pydantic import BaseModel

from schemas.access import PERMISSION_FIELD, PERMISSIONS
from schemas.control import ControlRecord
from schemas.envelope import now
from services.router.admin_models import (
    AuditEntry,
    ChannelShown,
    FreezeShown,
    ModelShown,
    OneTable,
    Page,
    TableInForce,
    TableVersion,
)
from tests.announced import announce
from tests.integration.router.rig import EDGE, Asker, Rig, story
from tests.logins import as_service

Shape = TypeVar("Shape", bound=BaseModel)


def call(rig: Rig, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
    """An operator's call."""
    more: dict[str, Any] = {} if body is None else {"json": body}
    return rig.http.request(method, rig.urls["router"] + "/admin" + path, params=params, **more)


def told(reply: httpx.Response, model: type[Shape]) -> Shape:
    """The reply, which must be as OpenAPI says."""
    assert reply.is_success, reply.text
    return model.model_validate_json(reply.content)


def refused(reply: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error, which must be in the shape."""
    error = reply.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return reply.status_code, error["code"], error["message"]


def log_of(rig: Rig, kind: str, id_: str) -> list[AuditEntry]:
    """What was done to an entity, the newest first."""
    return told(call(rig, "GET", "/audit-log", entity_kind=kind, entity_id=id_), Page[AuditEntry]).data


async def test_the_log_names_a_call_as_its_reply_does_and_never_as_the_caller_did(rig: Rig) -> None:
    lane = rig.lane()
    row = told(call(rig, "GET", f"/channels/{lane.main}"), ChannelShown).channel
    url = rig.urls["router"] + f"/admin/channels/{lane.main}"
    sent = {"x-request-id": "mine\tor another's"}
    reply = rig.http.put(url, json={**row, "cost_factor": "0.25"}, headers=sent)
    assert reply.is_success, reply.text
    assert log_of(rig, "channel", lane.main)[0].request_id == str(UUID(reply.headers["x-request-id"]))
    refusals = (rig.http.get(url, headers={"authorization": "Bearer none", **sent}), rig.http.get(url + "/none", headers=sent))
    ids = {UUID(each.headers["x-request-id"]) for each in (reply, *refusals)}
    assert ([each.status_code for each in refusals], len(ids)) == ([401, 404], 3)


async def test_one_channel_changes_in_a_new_version_of_the_whole_table(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    before = told(call(rig, "GET", f"/channels/{lane.main}"), ChannelShown)
    row = {**before.channel, "cost_factor": "0.5"}
    after = told(call(rig, "PUT", f"/channels/{lane.main}", row, expected_version=before.table_version), TableInForce)
    assert after.version == before.table_version + 1
    assert told(call(rig, "GET", f"/channels/{lane.main}"), ChannelShown).channel == row
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.main  # its stored key is still there, and opens
    again = told(call(rig, "PUT", f"/channels/{lane.main}", row), TableInForce)
    assert again.version == after.version  # nothing differs: nothing new
    [entry] = log_of(rig, "channel", lane.main)
    assert (entry.actor, entry.action, entry.account_id) == ("root", "channel.put", None)
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["cost_factor"], entry.after["cost_factor"], entry.after["table_version"]) == (
        "0.8",
        "0.5",
        after.version,
    )
    assert f"sk-{lane.main}" not in entry.model_dump_json()


def test_a_change_for_another_version_than_the_one_in_force_changes_nothing(rig: Rig) -> None:
    lane = rig.lane()
    before = told(call(rig, "GET", f"/channels/{lane.main}"), ChannelShown)
    row = {**before.channel, "cost_factor": "0.4"}
    for method, body in (("PUT", row), ("DELETE", None)):
        stale = call(rig, method, f"/channels/{lane.main}", body, expected_version=before.table_version - 1)
        assert refused(stale)[:2] == (409, "route_table_moved")
    assert told(call(rig, "GET", f"/channels/{lane.main}"), ChannelShown) == before
    assert log_of(rig, "channel", lane.main) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dialect": "klingon"}, "dialect"),
        ({"base_url": "http://169.254.169.254/v1"}, "metadata"),
        ({"keys": [{"secret_env": "DATABASE_URL"}]}, "keys.0"),
        ({"keys": [{"kept": "0123456789ab"}]}, "give its secret anew"),
        ({"limits": {}}, "requests_per_minute"),
        ({"id": "another"}, "in the address"),
        ({"wieght": 1}, "wieght"),
    ],
)
def test_a_wrong_channel_is_refused_by_name_and_the_table_stays(rig: Rig, change: dict[str, Any], said: str) -> None:
    before = told(call(rig, "GET", "/channels/m0-main"), ChannelShown)
    status, code, message = refused(call(rig, "PUT", "/channels/m0-main", {**before.channel, **change}))
    assert (status, code) == (422, "invalid_route_table")
    assert "channel m0-main" in message
    assert said in message
    assert told(call(rig, "GET", "/channels/m0-main"), ChannelShown) == before


@pytest.mark.parametrize("path", ["/channels/none", "/models/none", "/routes/versions/999999", "/channels/none/freeze"])
def test_what_does_not_exist_is_not_found(rig: Rig, path: str) -> None:
    assert refused(call(rig, "POST" if path.endswith("freeze") else "GET", path))[0] == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"id": "\xff"}'])
def test_a_body_that_is_no_row_is_the_requests_mistake(rig: Rig, body: bytes) -> None:
    reply = rig.http.put(rig.urls["router"] + "/admin/models/m0", content=body)
    assert refused(reply)[0] in {400, 422}


async def test_a_model_is_made_asked_and_taken_out_and_a_channel_in_use_stays(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    row = told(call(rig, "GET", f"/models/{lane.model}"), ModelShown).model
    made = {**row, "id": "made/by-hand", "candidates": row["candidates"][:1]}
    told(call(rig, "PUT", "/models/made/by-hand", made), TableInForce)
    assert [each.model for each in told(call(rig, "GET", "/models", after="made", limit=1), Page[ModelShown]).data] == [made]
    _, reply = await asker.ask(lane, model="made/by-hand")
    assert reply.status == 200
    status, code, message = refused(call(rig, "DELETE", f"/channels/{lane.main}"))
    assert (status, code) == (422, "invalid_route_table")
    assert "made/by-hand" in message
    told(call(rig, "DELETE", "/models/made/by-hand"), TableInForce)
    assert (await asker.ask(lane, model="made/by-hand"))[1].status == 404
    assert [each.action for each in log_of(rig, "model", "made/by-hand")] == ["model.delete", "model.put"]


async def test_a_frozen_channel_is_used_by_nobody_whatever_table_comes_and_whoever_starts_anew(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    why = {"author": "ada", "reason": "the provider bills twice"}
    frozen = told(call(rig, "POST", f"/channels/{lane.main}/freeze", why), FreezeShown)
    assert (frozen.frozen, frozen.author, frozen.reason, frozen.version) == (True, "ada", "the provider bills twice", 1)
    request_id, reply = await asker.ask(lane)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    [fallback] = (await story(rig.kafka, request_id)).completed.fallbacks
    assert (fallback.from_channel, fallback.reason, fallback.from_attempt) == (lane.main, "channel_frozen", None)
    rig.post("router", "/admin/routes", content=orjson.dumps(rig.table()))
    rig.router.stop()
    rig.router.start(rig.urls["router"] + "/readyz")
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.backup
    plan = rig.post("router", "/admin/route-plan", json={"model": lane.model})
    assert (plan["candidates"][0]["skipped"], plan["candidates"][0]["channel"]) == ("channel_frozen", lane.main)
    assert "frozen by ada" in plan["candidates"][0]["why"]
    assert "the provider bills twice" in plan["candidates"][0]["why"]
    [state] = [row for row in rig.get("router", "/admin/channels")["data"] if row["id"] == lane.main]
    assert (state["frozen"], state["freeze"]["author"]) == (True, "ada")
    thawed = told(call(rig, "POST", f"/channels/{lane.main}/unfreeze", {"author": "bo"}), FreezeShown)
    assert (thawed.frozen, thawed.version) == (False, 2)
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.main
    assert [each.action for each in log_of(rig, "channel", lane.main)] == ["channel.unfreeze", "channel.freeze"]


@pytest.mark.parametrize("version", [2**63 - 1, 2**63])
async def test_a_freeze_counts_whatever_the_control_topic_said_before_it(rig: Rig, asker: Asker, version: int) -> None:
    lane = rig.lane()
    forged = ControlRecord.model_construct(kind="channel", entity_id=lane.main, version=version, changed_at=now(), author="x")
    for frozen in (True, False):
        await announce(rig.kafka, forged.model_copy(update={"frozen": frozen}))
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.main
    assert told(call(rig, "POST", f"/channels/{lane.main}/freeze"), FreezeShown).version == 1
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.backup
    rig.router.stop()
    rig.router.start(rig.urls["router"] + "/readyz")
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.backup
    told(call(rig, "POST", f"/channels/{lane.main}/unfreeze"), FreezeShown)
    assert (await asker.ask(lane))[1].headers["x-tollbook-channel"] == lane.main


async def test_where_every_channel_is_frozen_the_refusal_says_so_and_keeps_their_names(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    channels = (lane.main, lane.backup, lane.pool)
    alert = "rule errors, alert 01990000-0000-7000-8000-000000000001"
    for channel in channels:
        told(call(rig, "POST", f"/channels/{channel}/freeze"), FreezeShown)
    by_alert = {"author": "alert:errors", "reason": f"{alert}: 0.9 share exceeded 0.2"}
    told(call(rig, "POST", f"/channels/{lane.pool}/freeze", by_alert), FreezeShown)
    _, reply = await asker.ask(lane)
    assert (reply.status, reply.json["error"]["code"]) == (503, "channel_frozen")
    assert f"is stopped for now by the operator (by an alert: {alert}); nothing was charged" in reply.json["error"]["message"]
    assert not any(channel in reply.json["error"]["message"] for channel in channels)
    assert reply.headers["retry-after"]
    again = told(call(rig, "POST", f"/channels/{lane.main}/freeze"), FreezeShown)
    assert again.version == 1  # the same decision for the same reason is made once
    for channel in channels:
        told(call(rig, "POST", f"/channels/{channel}/unfreeze"), FreezeShown)
    assert (await asker.ask(lane))[1].status == 200


def test_every_version_of_the_table_can_be_looked_at(rig: Rig) -> None:
    in_force = rig.get("router", "/admin/routes")["version"]
    newest = told(call(rig, "GET", "/routes/versions", limit=1), Page[TableVersion])
    assert [(each.version, each.in_force) for each in newest.data] == [(in_force, True)]
    if newest.next_after is not None:
        older = told(call(rig, "GET", "/routes/versions", after=newest.next_after), Page[TableVersion])
        assert [each.version for each in older.data] == list(range(in_force - 1, 0, -1))
    first = told(call(rig, "GET", "/routes/versions/1"), OneTable)
    assert (len(first.table["channels"]), first.channels) == (first.channels, len(rig.table()["channels"]))
    assert b"sk-m0" not in orjson.dumps(first.table)


def test_the_log_of_changes_is_paged_filtered_and_only_grows(rig: Rig) -> None:
    told(call(rig, "POST", "/channels/m59-main/freeze", {"reason": "one"}), FreezeShown)
    told(call(rig, "POST", "/channels/m59-main/unfreeze", {"reason": "two"}), FreezeShown)
    first = told(call(rig, "GET", "/audit-log", entity_id="m59-main", limit=1), Page[AuditEntry])
    rest = told(call(rig, "GET", "/audit-log", entity_id="m59-main", after=first.next_after), Page[AuditEntry])
    assert [each.reason for each in (*first.data, *rest.data)] == ["two", "one"]
    assert told(call(rig, "GET", "/audit-log", actor="nobody"), Page[AuditEntry]).data == []
    assert refused(call(rig, "GET", "/audit-log", since="yesterday"))[0] == 422
    with psycopg.connect(as_service(rig.environment["DATABASE_URL"], "router")) as connection:
        for change in ("UPDATE router.audit_entry SET actor = 'x'", "DELETE FROM router.audit_entry"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(change)


def test_the_api_describes_itself_to_whoever_has_a_token(rig: Rig) -> None:
    url = rig.urls["router"] + "/admin/openapi.json"
    document = rig.http.get(url).raise_for_status().json()
    calls = [(path, verb, said) for path, verbs in document["paths"].items() for verb, said in verbs.items()]
    assert {path for path, _, _ in calls} >= {"/admin/routes", "/admin/channels/{channel_id}/freeze", "/admin/audit-log"}
    for path, verb, said in calls:
        assert said[PERMISSION_FIELD] in PERMISSIONS, (path, verb)
        assert said["summary"], (path, verb)
        assert {"401", "503"} <= said["responses"].keys(), (path, verb)
    assert "ChannelRow" in document["components"]["schemas"]
    for token in ("", f"Bearer {EDGE}", "Bearer sk-tb-abcdefghijkl-x"):
        assert httpx.get(url, headers={"authorization": token}, trust_env=False).status_code == 401
