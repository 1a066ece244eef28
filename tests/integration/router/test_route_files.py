"""The route table as a file: exported without secrets, imported with the stored ones kept, compared before anything changes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import httpx
import orjson

from tests.integration.router.rig import Asker, Rig


def exported(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = rig.get("router", "/admin/routes/export")
    return found


def post(rig: Rig, path: str, table: object, **query: str) -> httpx.Response:
    return rig.http.post(rig.urls["router"] + path, content=orjson.dumps(table), params=query)


def changes(rig: Rig, table: object) -> list[dict[str, Any]]:
    reply = post(rig, "/admin/routes/diff", table)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["changes"]
    return found


async def test_an_exported_table_has_no_secret_changes_nothing_and_keeps_every_key(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    before = exported(rig)
    assert b"sk-" not in orjson.dumps(before)
    [key] = before["table"]["channels"][0]["keys"]
    assert list(key) == ["kept"]
    assert changes(rig, before["table"]) == []
    assert post(rig, "/admin/routes", before["table"]).json()["version"] == before["version"]
    edited = deepcopy(before["table"])
    edited["models"][0]["owned_by"] = "somebody else"
    assert post(rig, "/admin/routes", edited).json()["version"] == before["version"] + 1
    _, reply = await asker.ask(lane)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main)
    assert rig.asked(lane.main)[-1]["authorization"] is True
    assert exported(rig)["table"]["channels"] == before["table"]["channels"]
    assert post(rig, "/admin/routes", rig.table()).json()["version"] == before["version"] + 2


def test_a_difference_names_what_is_added_removed_and_changed_and_tells_keys_apart(rig: Rig) -> None:
    table = exported(rig)["table"]
    table["channels"][0] |= {"keys": [{"secret": "sk-another"}], "cost_factor": "0.5"}
    gone = table["models"].pop()
    table["models"].append({**gone, "id": "brand-new"})
    found = {(change["kind"], change["id"]): change for change in changes(rig, table)}
    channel = found.pop(("channel", table["channels"][0]["id"]))
    assert (channel["change"], set(channel["fields"])) == ("changed", {"keys", "cost_factor"})
    assert channel["fields"]["cost_factor"] == {"before": "0.8", "after": "0.5"}
    assert channel["fields"]["keys"]["before"] != channel["fields"]["keys"]["after"]
    assert b"sk-another" not in orjson.dumps(channel)
    assert {key: change["change"] for key, change in found.items()} == {
        ("model", gone["id"]): "removed",
        ("model", "brand-new"): "added",
    }
    assert exported(rig)["table"]["models"][-1]["id"] == gone["id"]


def test_the_same_secret_given_again_is_no_change(rig: Rig) -> None:
    assert changes(rig, rig.table()) == []


def test_a_stored_key_goes_to_no_other_address_and_to_no_other_channel(rig: Rig) -> None:
    table = exported(rig)["table"]
    moved, swapped = deepcopy(table), deepcopy(table)
    moved["channels"][0]["base_url"] = "http://127.0.0.1:9/v1"
    reply = post(rig, "/admin/routes", moved)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_route_table")
    assert "a stored key goes nowhere else: give its secret again" in reply.json()["error"]["message"]
    swapped["channels"][0]["keys"] = table["channels"][1]["keys"]
    reply = post(rig, "/admin/routes/diff", swapped)
    assert reply.status_code == 422
    assert "the table in force has no key" in reply.json()["error"]["message"]


def test_what_stands_for_a_secret_where_a_table_is_shown_is_not_taken_for_one(rig: Rig) -> None:
    shown = rig.get("router", "/admin/routes")["table"]
    reply = post(rig, "/admin/routes", shown)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_route_table")
    assert "`tollbook routes export`, whose `kept` keeps the stored one" in reply.json()["error"]["message"]


def test_a_table_that_was_compared_with_another_version_is_not_put_in_force(rig: Rig) -> None:
    before = exported(rig)
    edited = deepcopy(before["table"])
    edited["models"][0]["owned_by"] = "somebody"
    reply = post(rig, "/admin/routes", edited, expected_version=str(before["version"] - 1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "route_table_moved")
    assert exported(rig) == before
    assert post(rig, "/admin/routes", edited, expected_version=str(before["version"])).status_code == 200
    assert post(rig, "/admin/routes", before["table"]).status_code == 200


def plan(rig: Rig, **asked: Any) -> httpx.Response:
    return post(rig, "/admin/route-plan", asked)


async def test_a_dry_run_shows_the_plan_that_a_request_gets_and_calls_nobody(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    shown = plan(rig, model=lane.model).json()
    assert [each["channel"] for each in shown["candidates"]] == [lane.main, lane.backup]
    assert [(each["channel"], each["reason"]) for each in shown["left_out"]] == [(lane.pool, "other_bucket")]
    assert shown["candidates"][0]["skipped"] is None
    assert rig.stats(lane.main)["requests"] == 0
    rig.script(lane.main, {"kind": "401", "times": 1})
    _, reply = await asker.ask(lane)
    assert reply.headers["x-tollbook-channel"] == lane.backup
    first = plan(rig, model=lane.model).json()["candidates"][0]
    assert (first["skipped"], first["why"]) == (
        "cooldown",
        "priority 0; candidate 1 of the model; skipped now: all its keys rest, or it has none that can be used",
    )
    assert 0 < first["free_in_s"] <= 30


def test_a_dry_run_is_refused_as_a_request_would_be(rig: Rig) -> None:
    lane = rig.lane()
    unknown = plan(rig, model="no-such-model")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    forbidden = plan(rig, model=lane.model, policy={"models": ["other"]})
    assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "model_not_allowed")
    no_route = plan(rig, model=lane.model, policy={"route_types": ["subscription"]})
    assert (no_route.status_code, no_route.json()["error"]["code"]) == (403, "route_not_allowed")
    wrong = plan(rig, model=7)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_value")
