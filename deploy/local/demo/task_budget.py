"""The chapter about a run: a task gets a budget, stops at it, goes on by a decision, and gives the rest back."""

from decimal import Decimal
from typing import Any

import openai
from openai import OpenAI
from rich.console import Console

from deploy.local.demo.admin import Admin, DemoError

BUDGET, MORE = "0.02", "0.01"
MOST_CALLS = 200


def run_a_task(admin: Admin, console: Console, key: str) -> Decimal:
    """Tell the chapter; returns what the task paid from `credit`."""
    asked = {"budget": {"credit": BUDGET}, "route_types": ["direct"], "deadline": "45m", "label": "summarise"}
    run = admin.ask(key, "/v1/runs", asked)["id"]
    console.print(f"{run}: {BUDGET} USD set aside for a task of at most 45 minutes, on direct routes alone")
    messages: Any = [{"role": "user", "content": "Summarise this: " + "toll " * 200}]
    spent = Decimal(0)
    with OpenAI(base_url=f"{admin.stack['edge_url']}/v1", api_key=key, max_retries=0) as client:
        for answered in range(MOST_CALLS):
            try:
                usage = client.chat.completions.create(
                    model="gpt-4o", messages=messages, max_tokens=100, extra_headers={"x-tollbook-run": run}
                ).usage
            except openai.APIStatusError as refused:
                console.print(f"after {answered} answers {refused.status_code}: {refused.message}")
                break
            assert usage is not None
            spent += Decimal(str((usage.model_extra or {})["cost"]))
        else:
            raise DemoError(f"the task was never stopped, although its budget is {BUDGET} USD")
        admin.ask(key, f"/v1/runs/{run}/extend", {"budget": {"credit": MORE}})
        usage = client.chat.completions.create(
            model="gpt-4o", messages=messages, max_tokens=100, metadata={"run_id": run}
        ).usage
        assert usage is not None
        spent += Decimal(str((usage.model_extra or {})["cost"]))
        console.print(f"{MORE} USD more, and it goes on")
    _close(admin, console, key, run, spent)
    return spent


def _close(admin: Admin, console: Console, key: str, run: str, spent: Decimal) -> None:
    admin.ask(key, f"/v1/runs/{run}/close", {})
    account = admin.wait_for("the run to close", lambda: _if_closed(admin.read(key, f"/v1/runs/{run}")))
    for sentence in account["explanation"]:
        console.print(f"  {sentence}", highlight=False, markup=False)
    if Decimal(account["budgets"][0]["spent"]) != spent:
        raise DemoError(f"the run says that it spent {account['budgets'][0]['spent']} USD, its replies say {spent}")


def _if_closed(run: dict[str, Any]) -> dict[str, Any] | None:
    return run if run["state"] == "closed" else None
