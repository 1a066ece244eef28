"""`tollbook users|tokens|login|whoami|logout` on the running stack: who the command line is, and what it may do."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from tests.e2e.commands import Commands

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def root(running: Stack, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack's operator."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module")
def account(root: Commands) -> str:
    """An account of the module's own."""
    return str(root("accounts", "create", f"team {uuid4().hex[:8]}", "--json").json["account_id"])


def test_a_user_is_made_found_by_name_given_roles_and_ended(root: Commands, account: str) -> None:
    name = f"ann {uuid4().hex[:8]}"
    user = root("users", "create", name, "--role", "member", "--account", account, "--json").json
    assert [(grant["role"], grant["account_id"]) for grant in user["grants"]] == [("member", account)]
    given = root("users", "grant", name, "billing", "--account", account)
    assert (given.code, "billing" in given.text) == (0, True)
    assert root("users", "grant", name, "on-call", "--json").json["account_id"] is None
    listed = root("users", "list", "--account", account, "--json").json["data"]
    assert user["user_id"] in {row["user_id"] for row in listed}
    assert f"billing of {account}" in root("users", "list", "--limit", "100000").text
    assert root("users", "take", name, "billing", "--account", account).code == 3
    assert root("users", "take", name, "billing", "--account", account, "--yes", "--json").json["role"] == "billing"
    again = root("users", "take", name, "billing", "--account", account, "--yes")
    assert (again.code, "users show" in again.err) == (3, True)
    assert root("users", "rename", name, f"{name} b", "--json").json["name"] == f"{name} b"
    assert root("users", "deactivate", user["user_id"], "--json").json["active"] is False
    assert "deactivated" in root("users", "show", user["user_id"]).text
    assert root("users", "activate", user["user_id"], "--json").json["active"] is True
    for wrong in (("king",), ("operator", "--account", account)):
        assert root("users", "grant", user["user_id"], *wrong).code == 2


def test_a_user_logs_in_sees_its_own_and_is_told_which_role_is_missing(
    root: Commands, account: str, described: dict[str, Any], tmp_path: Path, running: Stack
) -> None:
    user = root("users", "create", f"bob {uuid4().hex[:8]}", "--role", "member", "--account", account, "--json").json
    token = root("tokens", "create", "laptop", "--user", user["user_id"], "--expires", "30d", "--json").json["access_token"]
    bob = Commands(None, tmp_path)
    stack = str(running.home.stack_file)
    wrong = bob("--stack", stack, "login", "--token-stdin", stdin="tbu-nonsense\n")
    assert (wrong.code, (tmp_path / "profiles.json").exists()) == (3, False)
    done = bob("--stack", stack, "--profile", "stack", "login", "--token-stdin", stdin=f"{token}\n")
    assert done.code == 3  # two that say where the services are
    done = bob("--stack", stack, "login", "--token-stdin", stdin=f"{token}\n")
    assert (done.code, user["user_id"] in done.text, token in done.text + done.err) == (0, True, False), done.err
    assert bob("whoami", "--json").json["me"]["grants"] == [{"role": "member", "account_id": account}]
    assert "member" in bob("whoami").text
    assert [row["account_id"] for row in bob("accounts", "list", "--json").json["data"]] == [account]
    assert bob("balances", "--json").json["account_id"] == account  # the only one that it may see
    assert bob("projects", "list", "--json").json["data"] == []
    refused = bob("accounts", "freeze", account)
    assert (refused.code, "owner" in refused.err, "operator" in refused.err) == (3, True, True)
    other = bob("accounts", "show", described["demo"]["account_id"])
    assert (other.code, "There is no account" in other.err) == (3, True)
    assert bob("topups", "add", "5", "--bucket", "credit").code == 3


def test_tokens_are_listed_without_their_secrets_and_revoked_for_good(
    root: Commands, account: str, tmp_path: Path, running: Stack
) -> None:
    user = root("users", "create", f"eve {uuid4().hex[:8]}", "--role", "owner", "--account", account, "--json").json
    of = ("--user", user["user_id"])
    made = root("tokens", "create", "ci", *of)
    token = next(line for line in made.text.splitlines() if line.startswith("tbu-"))
    assert "not shown again" in made.err
    eve = Commands(None, tmp_path)
    assert (
        eve("--stack", str(running.home.stack_file), "login", "--token-stdin", "--json", stdin=token).json["me"]["name"]
        == user["name"]
    )
    own = eve("tokens", "create", "second", "--json").json
    rows = eve("tokens", "list", "--json").json["data"]
    assert {row["name"] for row in rows} == {"ci", "second"}
    assert "access_token" not in json.dumps(rows).replace('"object": "access_token"', "")
    assert "second" in root("tokens", "list", *of).text
    assert eve("tokens", "revoke", own["token_id"]).code == 3
    assert eve("tokens", "revoke", own["token_id"], "--yes", "--json").json["revoked_at"] is not None
    assert "is revoked" in root("tokens", "revoke", own["token_id"], *of, "--yes").text
    ended = eve("logout", "--revoke", "--json").json
    assert (ended["logged_out"], ended["revoked"]) == (True, True)
    after = eve("--token", token, "whoami")
    assert (after.code, "tollbook login" in after.err) == (3, True)
    assert eve("profile", "show", "--json").json["has_token"] is False


def test_the_admin_token_may_log_in_too_and_is_nobodys(
    root: Commands, described: dict[str, Any], tmp_path: Path, running: Stack
) -> None:
    operator = Commands(None, tmp_path)
    said = {"TOLLBOOK_ADMIN_TOKEN": described["admin_token"]}
    assert operator("--stack", str(running.home.stack_file), "login", variables=said).code == 0
    assert operator("whoami", "--json").json["me"]["root"] is True
    assert operator("status", "--json").code in {0, 1}
    kept = operator("logout", "--revoke")
    assert (kept.code, "leave --revoke out" in kept.err) == (3, True)
    assert operator("logout").code == 0
    nobody = operator("whoami")
    assert (nobody.code, "tollbook login" in nobody.err) == (3, True)
