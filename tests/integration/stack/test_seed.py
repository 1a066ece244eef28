"""The seed: what `up` puts in, and what it leaves alone the second time."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from deploy.local.home import read_json, write_json
from deploy.local.seed import TOPUPS
from deploy.local.stack import Stack
from deploy.local.stackfile import StackFile

SEEDED = ["settlement", "router", "edge"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
    made = Stack(Path(tempfile.mkdtemp(prefix="tollbook-seed-")), environ=inherited, fixed_ports=False)
    try:
        made.up(SEEDED)
        yield made
    finally:
        made.clean()


def _described(stack: Stack) -> StackFile:
    found = stack.describe()
    assert found is not None
    return found


def _get(url: str, token: str) -> Any:
    reply = httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    return reply.raise_for_status().json()


def _money(described: StackFile) -> dict[str, int]:
    assert described.demo is not None
    balances = _get(f"{described.edge_url}/v1/balances", described.demo.api_key)["data"]
    return {balance["bucket"]: balance["posted_nano"] for balance in balances}


def _topped_up_once() -> dict[str, int]:
    return {bucket: int(float(amount)) * 10**9 for bucket, amount in TOPUPS.items()}


def test_the_demo_key_finds_models_and_money(stack: Stack) -> None:
    described = _described(stack)
    assert described.demo is not None
    models = _get(f"{described.edge_url}/v1/models", described.demo.api_key)["data"]
    assert "gpt-4o" in {model["id"] for model in models}
    assert _money(described) == _topped_up_once()


def test_seeding_again_changes_nothing(stack: Stack) -> None:
    before = _described(stack)
    routes = _get(f"{before.router_url}/admin/routes", before.admin_token)
    assert stack.reseed() == before
    assert _money(before) == _topped_up_once()
    assert _get(f"{before.router_url}/admin/routes", before.admin_token) == routes


def _forget(stack: Stack, *names: str) -> None:
    """Let the seed take its files for changed ones."""
    done = read_json(stack.home.seed_file)
    write_json(stack.home.seed_file, done | {name: "another text" for name in names})


def test_changed_files_replace_what_the_seed_had_put_in_force_and_nothing_else(stack: Stack) -> None:
    before = _described(stack)
    url, token = f"{before.router_url}/admin/routes", before.admin_token
    _forget(stack, "routes.yaml", "prices.yaml")
    stack.reseed()
    done = read_json(stack.home.seed_file)
    assert "another text" not in (done["routes.yaml"], done["prices.yaml"])
    assert _get(url, token)["version"] == done["routes.yaml version"]
    exported = _get(f"{url}/export", token)["table"]
    exported["models"] = exported["models"][:1]
    own = (
        httpx.post(url, json=exported, headers={"authorization": f"Bearer {token}"}, trust_env=False).raise_for_status().json()
    )
    _forget(stack, "routes.yaml")
    stack.reseed()
    kept = _get(url, token)
    assert (kept["version"], len(kept["table"]["models"])) == (own["version"], 1)


def test_a_new_database_gets_a_new_demo_account(stack: Stack) -> None:
    before = _described(stack)
    for name in SEEDED:
        stack.stop(name)
    server, _, database = before.postgres_dsn.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
    stack.down()
    after = stack.up(SEEDED)
    assert after.demo is not None
    assert before.demo is not None
    assert after.demo.account_id != before.demo.account_id
    assert _money(after) == _topped_up_once()
