"""A customer checks a bill with what the stack gives to everybody, and an operator's check reaches the checkpoints outside."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.local.home import CHECKOUT
from deploy.local.stack import Stack
from services.settlement.checkpoint_file import read_checkpoints
from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 20}
PATIENCE_S = 90


def tollbook(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a person runs it."""
    command = [str(CHECKOUT / ".venv" / "bin" / "python"), "-m", "services.console", *arguments]
    told = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")} | environment
    return subprocess.run(command, cwd=CHECKOUT, env=told, capture_output=True, text=True, timeout=120, check=False)


async def until_sealed(driver: Driver, key: str, request_id: str) -> None:
    """Wait until the receipt says that it is sealed."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        reply = await driver.send(key, "GET", f"/v1/requests/{request_id}")
        if reply.status_code == 200 and reply.json().get("seal", {}).get("status") == "sealed":
            return
        assert time.monotonic() < deadline, reply.text
        await asyncio.sleep(0.2)


async def test_a_customer_checks_a_bill_with_the_public_key_alone(
    driver: Driver, running: Stack, described: dict[str, Any], tmp_path: Path
) -> None:
    customer = await driver.customer(any={})
    await driver.top_up(customer.account_id, "credit", "5")
    key = customer.keys["any"]
    answered = await driver.chat(key, BODY)
    assert answered.ok
    await until_sealed(driver, key, answered.request_id)
    file, keys = tmp_path / "receipt.json", tmp_path / "keys.json"
    got = tollbook(
        "--edge-url", described["edge_url"], "receipt", "get", answered.request_id, "--signed", "--output", str(file),
        TOLLBOOK_API_KEY=key,
    )  # fmt: skip
    assert got.returncode == 0, got.stderr
    keys.write_bytes((await driver.http.get(f"{described['edge_url']}/v1/signing-keys")).content)
    for given in (str(keys), described["signing_public_key"]):
        done = tollbook("receipt", "verify", str(file), "--key", given, TOLLBOOK_HOME=str(tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "VALID: signed, sealed" in done.stdout
    file.write_bytes(file.read_bytes().replace(b'"status":"settled"', b'"status":"expired"'))
    assert tollbook("receipt", "verify", str(file), "--key", str(keys)).returncode == 1
    assert "SEAL         entry" in await driver.text(key, f"/v1/requests/{answered.request_id}?format=text")
    kept = dict(read_checkpoints(running.home.checkpoint_file))
    assert kept


async def test_a_refusal_that_only_edge_knows_of_is_signed_too(
    driver: Driver, tmp_path: Path, described: dict[str, Any]
) -> None:
    customer = await driver.customer(any={})
    key = customer.keys["any"]
    refused = await driver.chat(key, BODY | {"model": "no-such-model"})
    assert refused.status == 404
    deadline = time.monotonic() + PATIENCE_S
    while (reply := await driver.send(key, "GET", f"/v1/requests/{refused.request_id}?signed=true")).status_code != 200:
        assert time.monotonic() < deadline, reply.text
        await asyncio.sleep(0.2)
    file = tmp_path / "receipt.json"
    file.write_bytes(reply.content)
    assert json.loads(reply.content)["receipt"]["status"] == "refused"
    done = tollbook("receipt", "verify", str(file), "--key", described["signing_public_key"])
    assert (done.returncode, "VALID SIGNATURE" in done.stdout) == (0, True), done.stdout + done.stderr
