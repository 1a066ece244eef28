"""The chapters of the demo, in order. Each prints what it did and fails with a :class:`DemoError` when it did not happen."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
from openai import OpenAI
from rich.console import Console
from rich.progress import Progress

from deploy.local.demo.admin import Admin, DemoError
from deploy.local.demo.task_budget import run_a_task
from deploy.local.demo.traffic_run import Tally, Traffic

REQUESTS = 2_000
SECONDS = 50
TOP_UPS = {"credit": (Decimal(40), "USD"), "wallet": (Decimal(200), "CNY")}
MAIN = "openai-main"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(kw_only=True)
class Cast:
    """Who takes part: the account, its keys, and what the team's key was told that its requests cost."""

    account_id: str
    keys: dict[str, str]
    key_ids: dict[str, str]
    quoted: dict[str, Decimal] = field(default_factory=dict)


def tell(admin: Admin, console: Console, stack_file: Path) -> None:
    """The whole story. `stack_file` is where the stack describes itself."""
    cast = _customer(admin, console)
    _top_up(admin, console, cast)
    first = _first_requests(admin, console, cast)
    tally = _traffic(admin, console, cast)
    cast.quoted = {bucket: tally.quoted[bucket] + first.get(bucket, Decimal(0)) for bucket in TOP_UPS}
    _small_budget(admin, console, cast)
    console.rule("6. A task with a budget of its own: a run")
    cast.quoted["credit"] += run_a_task(admin, console, cast.keys["team"])
    admin.wait_settled()
    _receipt(admin, console, cast, tally)
    _balances(admin, console, cast)
    _alert(admin, console, cast)
    console.rule("That is all")
    for line in farewell(admin.stack, stack_file):
        console.print(line, highlight=False, markup=False)


def farewell(stack: Mapping[str, Any], stack_file: Path) -> list[str]:
    """Where everything is, for whoever wants to go on by hand."""
    return [
        f"Edge:      {stack['edge_url']}",
        f"Demo key:  {stack['demo']['api_key']}",
        f"Dashboard: {stack['analytics_url']}/dashboard  (token: {stack['admin_token']})",
        f'All of it is in {stack_file} too; "Try it" in the README goes on from here.',
        "The stack goes on running; `make down` stops it, `make clean` removes its data.",
    ]


def _customer(admin: Admin, console: Console) -> Cast:
    console.rule("1. A customer with two API keys")
    account = admin.call("edge", "/admin/accounts", {"name": "Demo Ltd"})["account_id"]
    project = admin.call("edge", "/admin/projects", {"account_id": account, "name": "assistant"})["project_id"]
    policies = {"team": {"cross_bucket": True}, "intern": {"route_types": ["direct"]}}
    made = {
        name: admin.call("edge", "/admin/keys", {"project_id": project, "name": name, "policy": policy})
        for name, policy in policies.items()
    }
    console.print(f"Account {account}: key 'team' may cross from Credit to the CNY wallet, key 'intern' gets 0.05 USD in all.")
    return Cast(
        account_id=account,
        keys={name: key["api_key"] for name, key in made.items()},
        key_ids={name: key["key_id"] for name, key in made.items()},
    )


def _top_up(admin: Admin, console: Console, cast: Cast) -> None:
    console.rule("2. Money goes in, once")
    for bucket, (amount, currency) in TOP_UPS.items():
        payment = {"account_id": cast.account_id, "bucket": bucket, "amount": str(amount), "provider": "demo"}
        payment["payment_id"] = f"demo-{uuid4().hex}"
        for _ in range(2):
            admin.call("settlement", "/admin/topups", payment)
        console.print(f"{bucket}: {amount} {currency} (the payment was sent twice under one id, and counts once)")
    limit = {"account_id": cast.account_id, "kind": "key", "id": cast.key_ids["intern"], "currency": "USD"}
    admin.call("settlement", "/admin/limits", limit | {"window": "total", "limit": "0.05"})


def _first_requests(admin: Admin, console: Console, cast: Cast) -> dict[str, Decimal]:
    console.rule("3. The official openai client: plain, streaming, tools")
    spent: dict[str, Decimal] = {}
    with OpenAI(base_url=f"{admin.stack['edge_url']}/v1", api_key=cast.keys["team"], max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "What does a toll book record?"}]
        plain = client.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=50)
        _show(console, "plain", plain.usage, spent)
        options: Any = {"include_usage": True}
        stream = client.chat.completions.create(
            model="gpt-4o", messages=messages, max_tokens=50, stream=True, stream_options=options
        )
        _show(console, "streaming", list(stream)[-1].usage, spent)
        tools = client.chat.completions.create(
            model="gpt-4o", messages=messages, tools=[WEATHER], tool_choice="required", max_tokens=80
        )
        calls = tools.choices[0].message.tool_calls or []
        called = calls[0] if calls else None
        if called is None or called.type != "function":
            raise DemoError("the tools request was answered without a tool call")
        _show(console, f"tools → {called.function.name}({called.function.arguments})", tools.usage, spent)
    return spent


def _show(console: Console, kind: str, usage: Any, spent: dict[str, Decimal]) -> None:
    extra = usage.model_extra
    spent[extra["bucket"]] = spent.get(extra["bucket"], Decimal(0)) + Decimal(str(extra["cost"]))
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
    console.print(f"{kind}: {tokens}, {extra['cost']} {extra['currency']} from {extra['bucket']}")


def _traffic(admin: Admin, console: Console, cast: Cast) -> Tally:
    console.rule(f"4. {REQUESTS:,} requests in a minute, and the primary channel breaks on the way")
    traffic = Traffic(admin.stack["edge_url"], cast.keys["team"], REQUESTS, SECONDS)
    try:
        with Progress(console=console) as progress:
            task = progress.add_task("requests", total=REQUESTS)

            def switch(broken: bool) -> None:
                console.print(f"{MAIN} {'now answers 503' if broken else 'works again'}")
                admin.script_faults(MAIN, [{"kind": "503", "probability": 1}] if broken else [])

            tally = asyncio.run(traffic.run(switch, lambda done: progress.update(task, completed=done)))
    finally:
        admin.script_faults(MAIN, [])
    console.print(", ".join(f"{name}: {count}" for name, count in tally.outcomes.items()))
    if tally.outcomes["answered"] < REQUESTS * 0.99 or not tally.fallen_back:
        raise DemoError("fewer requests were answered than expected, or none fell back")
    return tally


def _small_budget(admin: Admin, console: Console, cast: Cast) -> None:
    console.rule("5. A small budget runs empty")
    messages: Any = [{"role": "user", "content": "Summarise this: " + "toll " * 1_500}]
    with OpenAI(base_url=f"{admin.stack['edge_url']}/v1", api_key=cast.keys["intern"], max_retries=0) as client:
        for answered in range(200):
            try:
                usage = client.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=200).usage
            except openai.APIStatusError as refused:
                console.print(f"'intern' had {answered} answers, then {refused.status_code}: {refused.message}")
                return
            assert usage is not None
            quoted = Decimal(str((usage.model_extra or {})["cost"]))
            cast.quoted["credit"] += quoted
    raise DemoError("the intern's key was never refused, although its budget is 0.05 USD")


def _receipt(admin: Admin, console: Console, cast: Cast, tally: Tally) -> None:
    console.rule("7. The receipt of a request that fell back")
    request_id = max(tally.fallen_back, key=tally.fallen_back.__getitem__)
    console.print(admin.receipt_text(cast.keys["team"], request_id), highlight=False, markup=False)


def _balances(admin: Admin, console: Console, cast: Cast) -> None:
    console.rule("8. Both balances, and the arithmetic that proves them")
    rows = {row["bucket"]: row for row in admin.read(cast.keys["team"], "/v1/balances")["data"]}
    for bucket, (topped_up, currency) in TOP_UPS.items():
        posted, held = Decimal(rows[bucket]["posted"]), Decimal(rows[bucket]["held"])
        quoted = cast.quoted[bucket]
        console.print(f"{bucket}: {topped_up} topped up - {quoted} charged = {topped_up - quoted} {currency}; held {held}")
        if posted != topped_up - quoted or held:
            raise DemoError(f"the ledger says {posted} {currency} for {bucket}, held {held}: that is not the arithmetic above")
        console.print(f"  the ledger says {posted} {currency}: equal to the last unit", style="green")


def _alert(admin: Admin, console: Console, cast: Cast) -> None:
    console.rule("9. The alert")

    def fired() -> list[dict[str, Any]]:
        rows = admin.call("analytics", "/admin/alerts")["data"]
        return [row for row in rows if row["subject_id"] == cast.key_ids["team"]]

    alert = admin.wait_for("the velocity alert", fired, within_s=30)[0]
    console.print(f"[red]{alert['state']}[/red] {alert['signal']}: {alert['message']}")
