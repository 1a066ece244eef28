"""`tollbook route` and `tollbook routes` on the running stack: dry runs, and tables that are compared before they change."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from tests.e2e.driver import Driver, chat_body
from tests.e2e.resting import until_none_rests

pytestmark = pytest.mark.stack

CHECKOUT = Path(__file__).parents[2]
DEMO = CHECKOUT / "deploy" / "catalog" / "routes.yaml"


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tollbook = Callable[..., Ran]


@pytest.fixture(scope="module")
def tollbook(running: Stack, described: dict[str, Any]) -> Iterator[Tollbook]:
    """The command line of this stack. The table of before is in force again afterwards."""
    told = os.environ | {"TOLLBOOK_HOME": str(running.home.stack_file.parent), "COLUMNS": "300"}

    def run(*arguments: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "services.console", *arguments],
            cwd=CHECKOUT, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    asyncio.run(until_none_rests(described, "gpt-4o"))
    yield run
    done = run("routes", "import", str(DEMO), "--yes")
    assert done.code == 0, done.err


@pytest.fixture(scope="module")
def admin(described: dict[str, Any]) -> Iterator[httpx.Client]:
    """Edge's admin API."""
    headers = {"authorization": f"Bearer {described['admin_token']}"}
    with httpx.Client(base_url=described["edge_url"], headers=headers, timeout=30, trust_env=False) as client:
        yield client


def explained(tollbook: Tollbook, *more: str, code: int = 0) -> Any:
    done = tollbook("route", "explain", "--json", *more)
    assert done.code == code, done.err
    return done.json


def test_a_dry_run_for_a_key_shows_places_prices_and_money(tollbook: Tollbook, described: dict[str, Any]) -> None:
    found = explained(tollbook, "--model", "gpt-4o", "--key", described["demo"]["api_key"])
    assert found["first"] == "openai-main"
    first = found["candidates"][0]
    assert (first["bucket"], first["prices"]["currency"], first["funds"]["payable"]) == ("credit", "USD", "yes")
    assert [(each["channel"], each["reason"]) for each in found["left_out"]] == [
        ("pool-a", "other_bucket"),
        ("pool-b", "other_bucket"),
    ]
    said = tollbook("route", "explain", "--model", "gpt-4o", "--key", described["demo"]["api_key"])
    assert "asked first: openai-main (gpt-4o), paid from credit" in said.out
    assert "nobody permits crossing buckets" in said.out
    assert described["demo"]["api_key"] not in said.out + said.err


def test_a_dry_run_obeys_the_policies_around_the_key(
    tollbook: Tollbook, described: dict[str, Any], admin: httpx.Client
) -> None:
    project = {"account_id": described["demo"]["account_id"], "name": "pooled only", "policy": {"route_types": ["pooled"]}}
    project_id = admin.post("/admin/projects", json=project).raise_for_status().json()["project_id"]
    key = {"project_id": project_id, "name": "k", "policy": {"fallback": False}}
    key_id = admin.post("/admin/keys", json=key).raise_for_status().json()["key_id"]
    found = explained(tollbook, "--model", "gpt-4o", "--key", key_id)
    assert [each["channel"] for each in found["candidates"]] == ["pool-a"]
    reasons = {each["channel"]: (each["reason"], each["why"]) for each in found["left_out"]}
    assert reasons["openai-main"] == ("route_type_not_allowed", "this project does not allow direct routes")
    assert reasons["pool-b"][0] == "fallback_off"


def test_a_dry_run_without_money_ends_with_1_and_names_the_bucket(tollbook: Tollbook, admin: httpx.Client) -> None:
    account_id = admin.post("/admin/accounts", json={"name": "poor"}).raise_for_status().json()["account_id"]
    project = {"account_id": account_id, "name": "p"}
    project_id = admin.post("/admin/projects", json=project).raise_for_status().json()["project_id"]
    key_id = admin.post("/admin/keys", json={"project_id": project_id, "name": "k"}).raise_for_status().json()["key_id"]
    found = explained(tollbook, "--model", "gpt-4o", "--key", key_id, code=1)
    assert {each["skipped"] for each in found["candidates"]} == {"insufficient_funds"}
    assert "credit leaves 0.00 USD" in found["candidates"][0]["why"]
    admin.post(f"/admin/keys/{key_id}/revoke").raise_for_status()
    revoked = tollbook("route", "explain", "--model", "gpt-4o", "--key", key_id)
    assert (revoked.code, "was revoked" in revoked.err) == (3, True)


def test_what_a_request_would_be_refused_with_a_dry_run_says(tollbook: Tollbook) -> None:
    unknown_model = tollbook("route", "explain", "--model", "no-such-model")
    assert (unknown_model.code, "`no-such-model` does not exist" in unknown_model.err) == (3, True)
    unknown_key = tollbook("route", "explain", "--model", "gpt-4o", "--key", "abcdefghijkl")
    assert (unknown_key.code, "no API key with this id" in unknown_key.err) == (3, True)


def test_the_demos_own_file_changes_nothing(tollbook: Tollbook) -> None:
    done = tollbook("routes", "diff", str(DEMO), "--exit-code")
    assert done.code == 0, done.out + done.err
    assert done.out.startswith("nothing changes: version ")


async def test_an_export_is_edited_compared_and_imported_without_any_secret(
    tollbook: Tollbook, described: dict[str, Any], tmp_path: Path, driver: Driver
) -> None:
    file = tmp_path / "routes.yaml"
    assert tollbook("routes", "export", "--output", str(file)).code == 0
    assert "sim-openai-main" not in file.read_text()
    table = yaml.safe_load(file.read_text())
    model = next(row for row in table["models"] if row["id"] == "gpt-4o")
    model |= {"strategy": "cheapest", "sticky": {"seconds": 300}}
    next(row for row in table["channels"] if row["id"] == "openai-main")["limits"] = {"requests_per_minute": 100_000}
    file.write_text(yaml.safe_dump(table))
    shown = tollbook("routes", "diff", str(file), "--exit-code")
    assert (shown.code, "changed model gpt-4o" in shown.out, "changed channel openai-main" in shown.out) == (1, True, True)
    assert '  strategy: nothing -> "cheapest"' in shown.out
    unasked = tollbook("routes", "apply", str(file))
    assert (unasked.code, "give --yes" in unasked.err) == (3, True)
    assert tollbook("routes", "diff", str(file), "--exit-code").code == 1
    done = tollbook("routes", "apply", str(file), "--yes")
    assert (done.code, "is in force" in done.out) == (0, True), done.err
    assert explained(tollbook, "--model", "gpt-4o")["strategy"] == "cheapest"
    reply = await driver.chat(described["demo"]["api_key"], chat_body("gpt-4o", Size(50, 10)))
    assert (reply.ok, reply.headers["x-tollbook-channel"]) == (True, "openai-main")
    states = tollbook("routes", "channels")
    assert "requests_per_minute 1/100000" in states.out


def test_a_wrong_file_is_refused_with_line_name_and_reason(tollbook: Tollbook, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(DEMO.read_text().replace("owned_by: deepseek", "owned_by: deepseek\n    strategy: luckiest"))
    done = tollbook("routes", "apply", str(file), "--yes")
    assert done.code == 3
    assert "model deepseek-chat: strategy: Input should be 'priority', 'weighted', 'cheapest' or 'fastest'" in done.err
