"""`tollbook accounts|projects|keys|budgets|topups|money` on the running stack, for people and for programs."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.stack import Stack
from tests.e2e.commands import Commands, cutting, until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def tollbook(running: Stack, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


@pytest.fixture
def acme(described: dict[str, Any]) -> str:
    """The name of a new account with a project `web` and a key `bot`."""
    name = f"acme {uuid4().hex[:8]}"
    headers = {"authorization": f"Bearer {described['admin_token']}"}
    with httpx.Client(base_url=described["edge_url"], headers=headers, timeout=30, trust_env=False) as edge:
        account = edge.post("/admin/accounts", json={"name": name}).raise_for_status().json()["account_id"]
        body = {"account_id": account, "name": "web"}
        project = edge.post("/admin/projects", json=body).raise_for_status().json()["project_id"]
        edge.post("/admin/keys", json={"project_id": project, "name": f"bot of {name}"}).raise_for_status()
    return name


@pytest.fixture
def stranger(tmp_path: Path) -> Commands:
    """The command line of somebody without a stack."""
    return Commands(None, tmp_path)


def test_an_account_is_made_shown_renamed_and_frozen_by_its_name(tollbook: Commands) -> None:
    name = f"corp {uuid4().hex[:8]}"
    made = tollbook("accounts", "create", name, "--models", "gpt-4o,gpt-5", "--json").json
    assert (made["name"], made["policy"]["models"]) == (name, ["gpt-4o", "gpt-5"])
    account_id = made["account_id"]
    listed = tollbook("accounts", "list", "--limit", "100000", "--json").json
    assert set(listed) == {"object", "data", "next_after"}
    assert account_id in {row["account_id"] for row in listed["data"]}
    assert name in tollbook("accounts", "list", "--limit", "100000").text
    assert tollbook("accounts", "freeze", name, "--reason", "unpaid", "--json").json["frozen"] is True
    assert "frozen" in tollbook("accounts", "show", account_id).text
    assert tollbook("accounts", "unfreeze", account_id, "--json").json["frozen"] is False
    assert tollbook("accounts", "rename", name, f"{name} ltd", "--json").json["name"] == f"{name} ltd"
    said = tollbook("accounts", "changes", f"{name} ltd")
    assert ("unpaid" in said.text, "tester" in said.text) == (True, True)
    changes = tollbook("accounts", "changes", account_id, "--json").json["data"]
    assert [row["what"] for row in changes[:2]] == ["frozen", "unfrozen"]


def test_a_policy_is_changed_in_what_is_said_and_nothing_else(tollbook: Commands, acme: str) -> None:
    assert (
        tollbook("accounts", "policy", acme, "--models", "gpt-4o", "--fallback", "no", "--json").json["policy"]["fallback"]
        is False
    )
    found = tollbook("accounts", "policy", acme, "--fallback", "any", "--max-attempts", "2", "--json").json["policy"]
    assert {name: value for name, value in found.items() if value is not None} == {"models": ["gpt-4o"], "max_attempts": 2}
    shown = tollbook("accounts", "policy", acme)
    assert ("models gpt-4o, max attempts 2" in shown.text, shown.code) == (True, 0)
    assert tollbook("accounts", "policy", acme, "--clear", "--json").json["policy"] is None
    for wrong in (("--fallback", "perhaps"), ("--models", ","), ("--clear", "--models", "gpt-4o")):
        assert tollbook("accounts", "policy", acme, *wrong).code == 2


def test_projects_and_keys_are_found_by_name_within_their_account(tollbook: Commands, acme: str) -> None:
    made = tollbook("keys", "create", "second", "--project", "web", "--account", acme, "-e", "staging", "--json").json
    assert (made["environment"], made["api_key"].startswith(f"sk-tb-{made['key_id']}-")) == ("staging", True)
    listed = tollbook("keys", "list", "--project", made["project_id"], "--json").json
    assert {row["name"] for row in listed["data"]} == {f"bot of {acme}", "second"}
    assert "api_key" not in listed["data"][0]
    assert "staging" in tollbook("keys", "list", "--project", made["project_id"]).text
    assert tollbook("projects", "list", "--account", acme, "--json").json["data"][0]["name"] == "web"
    assert "web" in tollbook("projects", "list", "--account", acme).text
    assert tollbook("projects", "freeze", made["project_id"], "--json").json["frozen"] is True


def test_a_key_is_shown_once_bounded_rotated_and_revoked(tollbook: Commands, acme: str, described: dict[str, Any]) -> None:
    made = tollbook("keys", "create", "once", "--account", acme, "--expires", "30d", "--allow-ip", "127.0.0.0/8")
    secret = next(line for line in made.text.splitlines() if line.startswith("sk-tb-"))
    assert "not shown again" in made.err
    key_id = secret.split("-")[2]
    shown = tollbook("keys", "show", secret, "--json").json
    assert (shown["key_id"], shown["allowed_ips"]) == (key_id, ["127.0.0.0/8"])
    assert secret not in tollbook("keys", "show", key_id).text
    changed = tollbook("keys", "set", key_id, "--expires", "never", "--allow-ip", "any", "-e", "live", "--json").json
    assert (changed["expires_at"], changed["allowed_ips"], changed["environment"]) == (None, None, "live")
    assert tollbook("keys", "set", key_id).code == 2
    paced = tollbook("keys", "set", key_id, "--rpm", "1,200", "--tpm", "any", "--json").json
    assert (paced["requests_per_minute"], paced["tokens_per_minute"]) == (1200, None)
    assert tollbook("accounts", "set", acme, "--tpm", "90000", "--json").json["tokens_per_minute"] == 90_000
    assert "requests per minute  30" in tollbook("projects", "create", "slow", "--account", acme, "--rpm", "30").text
    assert tollbook("accounts", "set", acme, "--rpm", "many").code == 2
    rotated = tollbook("keys", "rotate", key_id, "--overlap", "1h", "--json").json
    assert rotated["api_key"] != secret
    for each in (secret, rotated["api_key"]):
        reply = httpx.get(f"{described['edge_url']}/v1/balances", headers={"authorization": f"Bearer {each}"}, trust_env=False)
        assert reply.status_code == 200
    unasked = tollbook("keys", "revoke", key_id)
    assert (unasked.code, "give --yes" in unasked.err) == (3, True)
    assert tollbook("keys", "revoke", key_id, "--yes", "--reason", "left", "--json").json["revoked"] is True
    assert "revoked" in tollbook("keys", "show", key_id).text


def test_budgets_are_set_as_people_write_them_listed_and_removed(tollbook: Commands, acme: str) -> None:
    of = ("--account", acme)
    unknown = tollbook("budgets", "set", "100", *of)
    assert (unknown.code, "in which currency?" in unknown.err) == (2, True)
    assert tollbook("topups", "add", "50", "--bucket", "credit", *of).code == 0
    assert tollbook("budgets", "set", "1,000", *of, "--json").json["limit"] == "1000.00"
    said = tollbook("budgets", "set", "$2.50", "--project", "web", "-w", "daily", *of)
    assert "2.50 USD per day" in said.text
    assert tollbook("budgets", "set", "5 USD", "--key", f"bot of {acme}", "-w", "total", *of, "--json").json["kind"] == "key"
    assert tollbook("limits", "set", "7", "--bucket", "credit", *of, "--json").json["currency"] == "USD"
    rows = tollbook("budgets", "list", *of, "--json").json["data"]
    assert {(row["kind"], row["window"], row["limit"]) for row in rows} == {
        ("account", "month", "1000.00"), ("project", "day", "2.50"), ("key", "total", "5.00"), ("bucket", "month", "7.00"),
    }  # fmt: skip
    assert "1000.00 USD" in tollbook("budgets", "list", *of).text
    assert tollbook("budgets", "remove", "--project", "web", "-w", "day", *of, "--json").json["limit"] is None
    again = tollbook("budgets", "remove", "--project", "web", "-w", "day", *of)
    assert (again.code, "budgets list" in again.err) == (3, True)
    assert tollbook("budgets", "set", "5", "-w", "week", *of).code == 2
    assert tollbook("budgets", "set", "5 USD", "--project", "web", "--bucket", "credit", *of).code == 2


def test_money_is_posted_once_exact_and_in_its_own_currency(tollbook: Commands, acme: str) -> None:
    of = ("--account", acme)
    assert "no balance yet" in tollbook("balances", *of).text
    paid = ("topups", "add", "12.50", "--bucket", "credit", "--payment-id", f"pay-{uuid4().hex}", *of, "--json")
    first, second = tollbook(*paid).json, tollbook(*paid).json
    assert (first["txn_id"], first["amount"]) == (second["txn_id"], "12.50")
    foreign = tollbook("topups", "add", "5 CNY", "--bucket", "credit", *of)
    assert (foreign.code, "nothing is converted" in foreign.err) == (2, True)
    taken = tollbook("money", "adjust", "-2.25", "--bucket", "credit", "--reason", "typing error", *of)
    assert (taken.code, "give --yes" in taken.err) == (3, True)
    assert (
        tollbook("money", "adjust", "-2.25", "--bucket", "credit", "--reason", "x", "--yes", *of, "--json").json["amount"]
        == "-2.25"
    )
    given = tollbook("money", "promote", "3", "--bucket", "credit", "--expires", "30d", "--reason", "welcome", *of)
    assert ("3.00 USD" in given.text, "after 13.25 USD" in given.text) == (True, True)
    balance = tollbook("balances", *of, "--json").json["data"][0]
    assert (balance["posted_nano"], balance["promotional_nano"]) == (13_250_000_000, 3_000_000_000)
    assert "13.25" in tollbook("balances", *of).text
    back = tollbook("money", "chargeback", first["payment_id"], "--provider", "manual", "--dispute-id", f"d-{uuid4().hex}",
                    "--reason", "card", "--amount", "2", "--yes", "--json").json  # fmt: skip
    won = tollbook(
        "money", "reinstate", "--provider", "manual", "--dispute-id", back["dispute_id"], "--reason", "won", "--json"
    ).json
    assert (back["amount"], won["amount"]) == ("2.00", "2.00")
    rows = tollbook("topups", "list", *of, "--json").json["data"]
    assert [(row["amount"], row["taken_back_nano"], row["reinstated_nano"]) for row in rows] == [
        ("12.50", 2 * 10**9, 2 * 10**9)
    ]
    assert "12.50 USD" in tollbook("topups", "list", *of).text
    centre = tollbook("money", "cost-centre", "20", "--bucket", "wallet", *of, "--json").json
    assert (centre["limit"], "20.00" in tollbook("money", "cost-centre", "20", "--bucket", "wallet", *of).text) == (
        "20.00",
        True,
    )
    short = tollbook("money", "adjust", "-500", "--bucket", "credit", "--reason", "x", "--yes", *of)
    assert (short.code, "take less" in short.err) == (3, True)


def test_a_list_is_as_long_as_was_asked_over_as_many_pages_as_it_takes(tollbook: Commands, acme: str) -> None:
    for number in range(3):
        tollbook("projects", "create", f"p{number}", "--account", acme)
    two = tollbook("projects", "list", "--account", acme, "--limit", "2", "--json").json
    assert (len(two["data"]), two["next_after"]) == (2, two["data"][-1]["project_id"])
    assert len(tollbook("projects", "list", "--account", acme, "--json").json["data"]) == 4


def test_a_command_that_was_cut_creates_once_when_it_is_run_again(tollbook: Commands, described: dict[str, Any]) -> None:
    name = f"cut {uuid4().hex[:8]}"
    with cutting(described["edge_url"]) as (url, cuts):
        command = ("--edge-url", url, "--token", described["admin_token"], "accounts", "create", name, "--json")
        lost = tollbook(*command)
        assert (lost.code, "it is done once" in lost.err) == (3, True)
        cuts.clear()
        again = tollbook(*command)
        assert "cut before" in again.err
        assert tollbook(*command).json["account_id"] != again.json["account_id"]
    named = [
        row["account_id"]
        for row in tollbook("accounts", "list", "--limit", "100000", "--json").json["data"]
        if row["name"] == name
    ]
    assert len(named) == 2


def test_money_of_a_command_that_was_cut_is_posted_once(tollbook: Commands, acme: str, described: dict[str, Any]) -> None:
    with cutting(described["settlement_url"]) as (url, cuts):
        flags = ("--edge-url", described["edge_url"], "--settlement-url", url, "--token", described["admin_token"])
        command = (*flags, "topups", "add", "5", "--bucket", "credit", "--account", acme, "--json")
        assert tollbook(*command).code == 3
        cuts.clear()
        assert tollbook(*command).json["amount"] == "5.00"
    assert tollbook("balances", "--account", acme, "--json").json["data"][0]["posted_nano"] == 5 * 10**9


def test_a_key_of_the_callers_own_does_a_thing_once_and_refuses_another_under_it(tollbook: Commands, acme: str) -> None:
    key = ("--account", acme, "--idempotency-key", uuid4().hex, "--json")
    first, second = tollbook("projects", "create", "same", *key).json, tollbook("projects", "create", "same", *key).json
    assert first["project_id"] == second["project_id"]
    other = tollbook("projects", "create", "other", *key)
    assert (other.code, "another --idempotency-key" in other.err) == (3, True)


def test_names_that_nothing_or_several_have_are_said_with_what_to_do(tollbook: Commands, acme: str) -> None:
    nobody = tollbook("accounts", "show", "nobody at all")
    assert (nobody.code, "`tollbook accounts list`" in nobody.err, nobody.out) == (3, True, b"")
    tollbook("accounts", "create", acme)
    twice = tollbook("accounts", "show", acme)
    assert (twice.code, twice.err.count("acc_")) == (3, 2)
    unknown = tollbook("accounts", "show", "acc_0000000000000000")
    assert (unknown.code, "answered 404" in unknown.err, "There is no account" in unknown.err) == (3, False, True)
    unclear = tollbook("balances")
    assert (unclear.code, "give --account" in unclear.err) == (3, True)


def test_every_way_to_fail_has_its_exit_code_and_says_what_to_do(stranger: Commands, described: dict[str, Any]) -> None:
    here = ("--edge-url", described["edge_url"])
    wrong = stranger(*here, "--token", "wrong", "accounts", "list")
    assert (wrong.code, "tollbook login" in wrong.err) == (3, True)
    silent = stranger("--edge-url", "http://127.0.0.1:9", "--token", "t", "accounts", "list", "--json")
    assert (silent.code, "see that it runs" in silent.err, silent.out) == (3, True, b"")
    nowhere = stranger("--edge-url", "http://127.0.0.1:9", "budgets", "list")
    assert (nowhere.code, "wants a token" in nowhere.err) == (3, True)
    elsewhere = stranger("--edge-url", f"{described['edge_url']}/healthz?", "--token", "t", "accounts", "list")
    assert elsewhere.code == 3
    assert stranger("accounts", "nothing").code == 2
    assert stranger("accounts", "list", "--limit", "0").code == 2


def test_completion_offers_the_ids_of_this_stack(tollbook: Commands, acme: str, described: dict[str, Any]) -> None:
    account_id = tollbook("accounts", "show", acme, "--json").json["account_id"]
    words = f"tollbook accounts show {account_id[:8]}"
    said = {"_TOLLBOOK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    # A shell is not kept waiting: where edge takes longer than a moment nothing is offered, and the next try finds it.
    until(lambda: account_id in tollbook(variables=said).text.split())
    assert tollbook(variables=said | {"TOLLBOOK_EDGE_URL": "http://127.0.0.1:9"}).text.strip() == ""


def test_json_is_one_document_and_nothing_else(tollbook: Commands, acme: str) -> None:
    for command in (
        ("accounts", "list"),
        ("projects", "list"),
        ("keys", "list"),
        ("balances", "-a", acme),
        ("budgets", "list", "-a", acme),
    ):
        assert json.loads(tollbook(*command, "--json").out)["object"] == "list"
