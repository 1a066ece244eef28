"""`python -m tests.reliability.runaway`: how soon a key that runs away is an alert, and frozen, on the stack that is up.

A key asks as fast as it is answered. Its first excess is the answer with which the tokens of its last sixty seconds pass the
threshold of its rule. From then on: until its alert fires, and until the first request that edge refuses. The rules in force
are put back at the end.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.home import read_json
from deploy.local.traffic import Size
from tests.e2e.driver import Driver, chat_body

THRESHOLD = 200_000
REQUEST = Size(9_000, 1_000)
GIVEN_UP_S = 60.0
RULES = f"""
version: 1
rules:
  - id: runaway-key
    signal: tokens_per_minute_by_key
    floor: {THRESHOLD}
    for: 0s
    keep: 2m
    severity: page
    action: freeze_key
"""


class Measured(NamedTuple):
    """Seconds from the first excess."""

    fired_s: float
    frozen_s: float
    tokens: int


async def one(driver: Driver) -> Measured:
    """A key of its own that runs away until it is refused."""
    customer = await driver.customer(bot={})
    await driver.top_up(customer.account_id, "credit", "1000")
    body, used, excess_at = chat_body("gpt-4o", REQUEST), 0, 0.0
    deadline = time.time() + GIVEN_UP_S
    while True:
        reply = await driver.chat(customer.keys["bot"], body)
        now = time.time()
        if reply.status != 200:
            break
        if now > deadline:
            raise TimeoutError(f"a key that used {used:,} tokens was not frozen within {GIVEN_UP_S:.0f} s")
        used += reply.usage["total_tokens"]
        if not excess_at and used > THRESHOLD:
            excess_at = now
    if reply.body["error"]["code"] != "key_frozen" or not excess_at:
        raise RuntimeError(f"the key was refused for another reason: {reply.body}")
    path = f"/admin/alerts?subject_id={customer.key_ids['bot']}"
    (alert,) = (await driver.admin("analytics", path))["data"]
    fired_at = datetime.fromisoformat(alert["fired_at"]).timestamp()
    return Measured(fired_at - excess_at, now - excess_at, used)


async def put_rules(driver: Driver, file: str) -> None:
    """Put alert rules in force."""
    url = f"{driver.stack['analytics_url']}/admin/alert-rules"
    headers = {"authorization": f"Bearer {driver.stack['admin_token']}", "content-type": "application/yaml"}
    reply = await driver.http.put(url, content=file, headers=headers)
    if not reply.is_success:
        raise RuntimeError(f"the rules were not taken: {reply.text}")
    await asyncio.sleep(3)  # the meter asks for its rules every second


async def measure(stack: dict[str, Any], times: int) -> list[Measured]:
    """So many keys, one after the other."""
    async with Driver(stack) as driver:
        before = (await driver.admin("analytics", "/admin/alert-rules"))["file"]
        await put_rules(driver, RULES)
        try:
            return [await one(driver) for _ in range(times)]
        finally:
            await put_rules(driver, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a key was frozen later than after six seconds, or its alert fired later than after five."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.runaway", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".tollbook"), help="the home of the stack that is up")
    parser.add_argument("--times", type=int, default=10)
    asked = parser.parse_args(arguments)
    found = asyncio.run(measure(read_json(asked.home / "stack.json"), asked.times))
    for row in found:
        sys.stdout.write(f"alert after {row.fired_s:5.2f} s, frozen after {row.frozen_s:5.2f} s, {row.tokens:,} tokens\n")
    fired, frozen = sorted(row.fired_s for row in found), sorted(row.frozen_s for row in found)
    middle = len(found) // 2
    sys.stdout.write(f"alert: median {fired[middle]:.2f} s, at most {fired[-1]:.2f} s; ")
    sys.stdout.write(f"frozen: median {frozen[middle]:.2f} s, at most {frozen[-1]:.2f} s\n")
    return int(fired[-1] > 5 or frozen[-1] > 6)


if __name__ == "__main__":
    sys.exit(main())
