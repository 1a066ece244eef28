"""`tollbook init` and `tollbook doctor` on the running stack, whose routes and prices are as before afterwards."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from deploy.local.stack import Stack
from services.console.cli import app
from services.console.errors import ConsoleError

pytestmark = pytest.mark.stack

CHECKOUT = Path(__file__).parents[2]
CATALOG = CHECKOUT / "deploy" / "catalog"
KEY = "sim-key-of-vllm"
ACCOUNT = f"from-nothing-{uuid4().hex[:8]}"


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
def tollbook(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tollbook]:
    """The command line of this stack, with a key of a provider in its environment."""
    told = dict(os.environ) | {"TOLLBOOK_HOME": str(running.home.stack_file.parent), "COLUMNS": "300", "LOCAL_MODEL_KEY": KEY}
    told["TOLLBOOK_CONFIG_DIR"] = str(tmp_path_factory.mktemp("config"))

    def run(*arguments: str) -> Ran:
        # In this process: a dozen interpreters would take longer than what is tested.
        done = CliRunner().invoke(app, arguments, env=told, prog_name="tollbook")
        if isinstance(done.exception, ConsoleError):
            return Ran(done.exception.exit_code, done.stdout, done.stderr + str(done.exception))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    _demo(run)
    yield run
    _demo(run)


def _demo(run: Tollbook) -> None:
    """Put the demo's routes and prices in force."""
    for kind in ("routes", "prices"):
        done = run(kind, "apply", str(CATALOG / f"{kind}.yaml"), "--yes")
        assert done.code == 0, done.err


def init(tollbook: Tollbook, described: dict[str, Any], account: str, *more: str) -> Ran:
    """Set a local vLLM up, which the simulator plays."""
    place = ("--provider", "vllm", "--base-url", f"{described['provider_url']}/vllm/v1", "--api-key-env", "LOCAL_MODEL_KEY")
    return tollbook("init", *place, "--account-name", account, "--yes", *more)


def table_of(tollbook: Tollbook) -> dict[str, Any]:
    """The route table in force."""
    found: dict[str, Any] = tollbook("routes", "export", "--json").json
    return found


def step(told: Any, name: str) -> dict[str, Any]:
    """What init says of a step."""
    return next(each for each in told["steps"] if each["step"] == name)


@pytest.fixture(scope="module")
def first(tollbook: Tollbook, described: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The table before, and what the first run said."""
    before = table_of(tollbook)
    money = ("--topup", "credit=2", "--budget", "credit=1/day")
    done = init(tollbook, described, ACCOUNT, *money, "--owner", "Ada", "--check", "--json")
    assert done.code == 0, done.out + done.err
    return before, done.json


def test_from_nothing_to_an_answer_that_is_paid(first: tuple[dict[str, Any], Any], described: dict[str, Any]) -> None:
    told = first[1]
    assert all(each["new"] for each in told["steps"])
    assert (told["check"]["ok"], told["check"]["channel"], told["check"]["bucket"]) == (True, "vllm", "credit")
    key = {"authorization": f"Bearer {told['api_key']}"}
    [credit] = httpx.get(f"{described['edge_url']}/v1/balances", headers=key, timeout=30).json()["data"]
    assert (credit["bucket"], 1.9 < float(credit["available"]) < 2) == ("credit", True)
    me = httpx.get(f"{described['edge_url']}/admin/me", headers={"authorization": f"Bearer {told['access_token']}"}, timeout=30)
    [grant] = me.json()["grants"]
    assert (grant["role"], grant["account_id"]) == ("owner", step(told, "account")["id"])


def test_what_was_in_force_is_as_it_was_and_no_secret_is_told(first: tuple[dict[str, Any], Any], tollbook: Tollbook) -> None:
    before, told = first
    after = table_of(tollbook)
    assert after["channels"][:-1] == before["channels"]
    assert after["models"][: len(before["models"])] == before["models"]
    assert after["channels"][-1]["keys"] != [{"secret": KEY}]
    assert KEY not in json.dumps(told)


def test_a_second_run_finds_everything_and_adds_nothing(
    first: tuple[dict[str, Any], Any], tollbook: Tollbook, described: dict[str, Any]
) -> None:
    before = table_of(tollbook)
    done = init(tollbook, described, ACCOUNT, "--topup", "credit=2", "--budget", "credit=500/day", "--owner", "Ada", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert [each["step"] for each in told["steps"] if each["new"]] in ([], ["routes"])
    assert (told["api_key"], told["access_token"]) == (None, None)
    assert step(told, "key")["id"] == step(first[1], "key")["id"]
    assert table_of(tollbook) == before
    limits = tollbook("budgets", "list", "--account", ACCOUNT, "--json").json["data"]
    assert [each["limit"] for each in limits if each["window"] == "day"] == ["1.00"]


def test_where_nobody_can_be_asked_the_question_is_said(tollbook: Tollbook) -> None:
    done = tollbook("init", "--provider", "openai")
    assert (done.code, "Nobody is here to answer: Variable with the provider's key" in done.err) == (3, True)


def statuses(tollbook: Tollbook) -> tuple[int, dict[str, list[str]]]:
    """The exit code of the doctor, and what it says of each check."""
    done = tollbook("doctor", "--json")
    found: dict[str, list[str]] = {}
    for each in done.json["checks"]:
        found.setdefault(each["check"], []).append(f"{each['status']}: {each['why']}")
    return done.code, found


def test_a_stack_that_is_well_is_found_so_and_one_that_is_not_is_found_out(
    tollbook: Tollbook, first: tuple[dict[str, Any], Any], tmp_path: Path
) -> None:
    code, found = statuses(tollbook)
    assert code == 0, found
    checks = {"ports", "services", "postgres", "migrations", "roles", "kafka", "versions", "clock", "introspection", "lag"}
    assert found.keys() >= checks | {"prices", "price book", "sealed keys", "object store", "disk"}
    assert "skip" not in str({name: said for name, said in found.items() if name != "java"})
    table = table_of(tollbook)
    lost = {"id": "lost", "route_type": "direct", "brand": "x", "dialect": "openai", "base_url": "https://api.openai.com/v1"}
    table["channels"].append(lost | {"keys": [{"secret_env": "NOBODY_SET_THIS"}]})
    model = {"id": "lost", "owned_by": "x", "max_input_tokens": 10, "max_output_tokens": 10}
    table["models"].append(model | {"candidates": [{"channel": "lost", "upstream_model": "lost"}]})
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump(table))
    assert tollbook("routes", "apply", str(file), "--yes").code == 0
    code, found = statuses(tollbook)
    assert code == 1
    assert any("fail: lost is out of service" in each and "NOBODY_SET_THIS" in each for each in found["channel keys"])
    assert found["models"] == ["fail: nobody can answer lost"]
    assert found["prices"] == ["fail: no route of lost has a price: lost on direct"]


def test_services_that_are_not_there_are_said_with_what_to_do(tollbook: Tollbook, tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    nowhere = {f"{name}_url": "http://127.0.0.1:9" for name in ("edge", "router", "settlement", "analytics")}
    file.write_text(json.dumps(nowhere | {"admin_token": "t", "kafka_bootstrap_servers": "127.0.0.1:9"}))
    done = tollbook("--stack", str(file), "doctor")
    assert done.code == 1
    assert "nothing listens for edge at 127.0.0.1:9" in done.out
    assert "to do: start settlement" in done.out
    assert "Kafka does not answer" in done.out
    assert "nobody said where Postgres is" in done.out
