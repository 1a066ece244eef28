"""`tollbook chat` and `tollbook tail` on the running stack."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack
from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

CHECKOUT = Path(__file__).parents[2]
SECRET_WORDS = "the innkeeper's third cellar"
DEADLINE_S = 120
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(running: Stack) -> Iterator[Start]:
    """Starts a command of this stack; what still runs is ended."""
    told = os.environ | {"TOLLBOOK_HOME": str(running.home.stack_file.parent), "COLUMNS": "400", "PYTHONUNBUFFERED": "1"}
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, text: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.console", *arguments],
            cwd=CHECKOUT, env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How it ended, and what it said."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def own_key(described: dict[str, Any]) -> tuple[str, str]:
    """A key of this test alone, of the demo's project: its id and its token."""
    headers = {"authorization": f"Bearer {described['admin_token']}"}
    body = {"project_id": described["demo"]["project_id"], "name": "watched"}
    made = httpx.post(f"{described['edge_url']}/admin/keys", json=body, headers=headers, timeout=30).raise_for_status().json()
    return made["key_id"], made["api_key"]


async def test_an_answer_comes_with_its_route_its_cost_and_a_settled_receipt(
    start: Start, own_key: tuple[str, str], driver: Driver
) -> None:
    code, out, err = ended(start("chat", "-m", "gpt-4o", "--api-key", own_key[1], "--json", text=SECRET_WORDS))
    assert code == 0, err
    told = json.loads(out)
    assert (told["model"], told["channel"], told["bucket"], told["attempts"]) == ("gpt-4o", "openai-main", "credit", 1)
    assert told["reply"]
    receipt = await driver.receipt(own_key[1], told["request_id"])
    assert (receipt["status"], receipt["charge"]["amount"]) == ("settled", told["cost"])


async def test_a_failed_attempt_shows_in_the_facts(start: Start, own_key: tuple[str, str], driver: Driver) -> None:
    await driver.faults("openai-main", [{"kind": "500", "times": 1}])
    code, out, err = ended(start("chat", "Where did it go?", "-m", "gpt-4.1", "--api-key", own_key[1]))
    assert code == 0, err
    assert out.strip()
    assert "gpt-4.1 · direct/openai-main · 2 attempts · " in err
    assert "credit paid" in err


def test_what_cannot_be_answered_is_said_in_the_gateways_words(start: Start, own_key: tuple[str, str]) -> None:
    code, _, err = ended(start("chat", "hello", "-m", "no-such-model", "--api-key", own_key[1]))
    assert (code, "`no-such-model` does not exist" in err) == (3, True)
    code, _, err = ended(start("chat", "--json"))
    assert (code, "there is no question" in err) == (2, True)


def test_requests_are_watched_as_they_end_without_a_word_of_theirs(
    start: Start, own_key: tuple[str, str], described: dict[str, Any]
) -> None:
    everything = start("tail", "--key", own_key[1], "--json", "--count", "2")
    refused = start("tail", "--account", "demo", "--key", own_key[0], "--errors", "--count", "1")
    watchers = f"{described['analytics_url']}/metrics"
    until(lambda: "tollbook_analytics_watchers 2.0" in httpx.get(watchers).text, "both watch")
    key = {"authorization": f"Bearer {own_key[1]}"}
    for model in ("gpt-4o", "no-such-model"):
        body = {"model": model, "messages": [{"role": "user", "content": SECRET_WORDS}]}
        httpx.post(f"{described['edge_url']}/v1/chat/completions", json=body, headers=key, timeout=30)
    code, out, err = ended(everything)
    assert code == 0, err
    answered, unknown = map(json.loads, out.splitlines())
    assert (answered["outcome"], answered["channel"], answered["bucket"]) == ("succeeded", "openai-main", "credit")
    assert (unknown["outcome"], unknown["error"], unknown["model"]) == ("rejected", "model_not_found", "no-such-model")
    code, said, err = ended(refused)
    assert code == 0, err
    assert "404 model_not_found  no-such-model" in said
    assert SECRET_WORDS not in out + said + err
