"""Every change is written down once, with what was before and after, and for good."""

from typing import Any

import psycopg
import pytest

from tests.integration.edge.processes import ADMIN, EdgeProcess, Key
from tests.logins import as_service


def entries(edge: EdgeProcess, **query: Any) -> list[dict[str, Any]]:
    """A page of the audit log, the newest first."""
    reply = edge.client.get("/admin/audit-log", params=query, headers=ADMIN)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["data"]
    return found


def test_what_is_made_is_written_down_whole_and_without_its_secret(edge: EdgeProcess, key: Key) -> None:
    told = {each["action"]: each for each in entries(edge, account_id=key.account_id)}
    assert set(told) == {"account.create", "project.create", "key.create"}
    made = told["key.create"]
    assert (made["actor"], made["actor_name"], made["entity_kind"], made["entity_id"]) == ("root", "admin", "key", key.key_id)
    assert (made["before"], made["after"]["name"], made["after"]["project_id"]) == (None, "bot", key.project_id)
    assert made["client_ip"] == "127.0.0.1"
    assert not {"secret_hmac", "api_key"} & set(made["after"])


def test_a_change_tells_what_differs_who_made_it_why_and_under_which_request(edge: EdgeProcess, key: Key) -> None:
    reply = edge.admin(f"/keys/{key.key_id}/freeze", {"author": "ada", "reason": "burns money"})
    newest = entries(edge, entity_kind="key", entity_id=key.key_id)[0]
    before, after = ({"frozen": state, "frozen_by_operator": state} for state in (False, True))
    assert (newest["action"], newest["before"], newest["after"]) == ("key.freeze", before, after)
    assert (newest["actor"], newest["actor_name"], newest["reason"]) == ("root", "ada", "burns money")
    assert (newest["account_id"], newest["request_id"]) == (key.account_id, reply.headers["x-request-id"])
    edge.admin(f"/accounts/{key.account_id}/policy", {"policy": {"models": ["gpt-4o"]}})
    newest = entries(edge, account_id=key.account_id)[0]
    assert (newest["action"], newest["before"]) == ("account.policy", {"policy": None})
    assert newest["after"] == {"policy": {"models": ["gpt-4o"]}}


def test_a_call_that_changed_nothing_is_not_written_down(edge: EdgeProcess, key: Key) -> None:
    for path, body in (("/keys/none/freeze", {}), ("/projects", {"account_id": "none", "name": "p"}), ("/accounts", {})):
        assert edge.admin(path, body).status_code in {404, 422}
    repeated = {"idempotency-key": f"once-{key.key_id}"}
    made = [edge.admin("/projects", {"account_id": key.account_id, "name": "p"}, **repeated).json() for _ in range(2)]
    assert made[0] == made[1]
    assert len(entries(edge, account_id=key.account_id, entity_kind="project")) == 2


def test_the_log_is_paged_newest_first_and_cut_by_time(edge: EdgeProcess, key: Key) -> None:
    for verb in ("freeze", "unfreeze", "freeze"):
        edge.admin(f"/keys/{key.key_id}/{verb}")
    of_key = {"entity_kind": "key", "entity_id": key.key_id}
    every = entries(edge, **of_key)
    assert [each["action"] for each in every] == ["key.freeze", "key.unfreeze", "key.freeze", "key.create"]
    page = edge.client.get("/admin/audit-log", params={**of_key, "limit": 3}, headers=ADMIN).json()
    assert page["data"] == every[:3]
    rest = edge.client.get("/admin/audit-log", params={**of_key, "limit": 3, "after": page["next_after"]}, headers=ADMIN)
    assert (rest.json()["data"], rest.json()["next_after"]) == (every[3:], None)
    assert entries(edge, **of_key, since=every[1]["at"]) == every[:2]
    assert entries(edge, **of_key, until=every[1]["at"]) == every[2:]


def test_the_log_of_an_unknown_account_is_not_found(edge: EdgeProcess) -> None:
    assert edge.client.get("/admin/audit-log", params={"account_id": "acc_no"}, headers=ADMIN).status_code == 404


def test_edges_login_adds_to_the_log_and_changes_nothing_in_it(edge: EdgeProcess, key: Key, migrated_url: str) -> None:
    assert edge.admin(f"/keys/{key.key_id}/freeze").status_code == 200
    with psycopg.connect(as_service(migrated_url, "edge")) as connection:
        for change in ("UPDATE edge.audit_entry SET actor = 'x'", "DELETE FROM edge.audit_entry", "TRUNCATE edge.audit_entry"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(change)
