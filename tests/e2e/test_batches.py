"""Files and batches through the official `openai` client on the whole stack; `tests/integration/batches` has the rest."""

import asyncio
import json
import time
from typing import Any

import pytest
from openai import OpenAI

from schemas.money import parse_amount
from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

ENDED = {"completed", "failed", "expired", "cancelled"}
PATIENCE_S = 90.0


async def test_a_batch_joins_a_run_and_every_line_has_its_receipt(described: dict[str, Any], driver: Driver) -> None:
    key = described["demo"]["api_key"]
    run = await driver.ask(key, "POST", "/v1/runs", {"budget": {"credit": "1"}})
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Good morning"}], "max_tokens": 12}
    lines = [{"custom_id": f"line-{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked} for n in range(10)]
    with OpenAI(base_url=f"{described['edge_url']}/v1", api_key=key, max_retries=0) as client:
        file = client.files.create(file=("a.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"run_id": run["id"]},
        )
        give_up_at = time.monotonic() + PATIENCE_S
        while batch.status not in ENDED:
            assert time.monotonic() < give_up_at, batch
            await asyncio.sleep(0.1)
            batch = client.batches.retrieve(batch.id)
        assert batch.status == "completed", batch
        assert batch.output_file_id is not None
        answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == [line["custom_id"] for line in lines]
    for answer in answers:
        receipt = await driver.receipt(key, answer["response"]["request_id"])
        assert (receipt["run_id"], receipt["client_request_id"].partition("/")[0]) == (run["id"], batch.id)
    spent = sum(parse_amount(answer["response"]["body"]["usage"]["cost"]) for answer in answers)
    assert 0 < spent < parse_amount("1")
    await driver.ask(key, "POST", f"/v1/runs/{run['id']}/close", {})
