"""`tollbook runs …`: budgets for tasks, with the API key that spends them."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import KEY, id_of
from services.console.entities.options import Account, ApiKey, IdempotencyKey, KeyOption, Limit
from services.console.entities.policy_words import policy_of
from services.console.entities.reading import reader
from services.console.paging import listed
from services.console.session import Json, Session, Yes, confirm, session_of
from services.console.spoken import SpokenError, amount

app = typer.Typer(help="Runs: a budget for a task. With the API key that spends it.", no_args_is_help=True)
PATH = "/v1/runs"
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]
Budget = Annotated[
    list[str],
    typer.Option("--budget", metavar="BUCKET=AMOUNT", help="Such as credit=0.50; may be repeated.", show_default=False),
]
Deadline = Annotated[str | None, typer.Option(help="45m, 12h, 1d, or an instant; one day where it is left out.")]


@app.command("open")
def open_run(
    context: typer.Context,
    *,
    budget: Budget,
    deadline: Deadline = None,
    label: Annotated[str, typer.Option(help="What people call it.")] = "",
    models: Annotated[str | None, typer.Option(help="Only these models, separated by commas.")] = None,
    routes: Annotated[str | None, typer.Option(help="Only these route types, separated by commas.")] = None,
    cross_bucket: Annotated[bool, typer.Option("--cross-bucket", help="A fallback may be paid from another bucket.")] = False,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=10, help="Attempts of one request at most.")] = None,
    reserve: Annotated[bool, typer.Option("--reserve/--no-reserve", help="Set the budget aside now, or only limit.")] = True,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be repeated.", show_default=False)] = None,
    api_key: ApiKey = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Open a run. Requests join it by the header `x-tollbook-run`."""
    session = session_of(context)
    body: dict[str, Any] = {"budget": _budget(budget), "label": label, "reserve": reserve}
    body |= {"deadline": deadline, "max_attempts": max_attempts, "cross_bucket": cross_bucket or None}
    body |= policy_of({"models": models, "route_types": routes}) or {}
    body["tags"] = dict(_pair(each, "--tag") for each in tag) if tag else None
    said = {name: value for name, value in body.items() if value is not None}
    with session.connect_customer(api_key) as edge:
        run = create(session, edge, PATH, said, key=idempotency_key)
    _say(session, run, as_json=as_json)


@app.command("list")
def list_runs(
    context: typer.Context,
    *,
    state: Annotated[str | None, typer.Option(help="open, closing or closed.")] = None,
    key: KeyOption = None,
    account: Account = None,
    api_key: ApiKey = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List an account's runs, newest first. With an API key of the account, or with --account by your token."""
    session = session_of(context)
    key_id = None
    if key is not None:
        with session.connect("edge") as edge:
            key_id = id_of(edge, KEY, key)
    with reader(session, api_key, account) as reading:
        found = listed(reading.edge, reading.runs, limit, state=state, key_id=key_id)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(("run", "state", "label", "key", "budget", "spent", "opened", "deadline"), map(_row, found["data"]))


@app.command()
def show(context: typer.Context, run: Run, *, account: Account = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the whole account of a run: totals, retries, fallbacks, what failures burned, timeline."""
    session = session_of(context)
    with reader(session, api_key, account) as found:
        path = f"{found.runs}/{quote(run, safe='')}"
        if as_json:
            session.terminal.json(found.edge.get(path))
        else:
            session.terminal.say(found.edge.read(path, format="text").decode("utf-8").rstrip("\n"))


@app.command()
def extend(
    context: typer.Context,
    run: Run,
    *,
    budget: Annotated[
        list[str] | None, typer.Option("--budget", metavar="BUCKET=AMOUNT", help="What is added.", show_default=False)
    ] = None,
    deadline: Annotated[str | None, typer.Option(help="A later one: 45m from now, or an instant.", show_default=False)] = None,
    api_key: ApiKey = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Add to a run's budget, move its deadline, or both: the decision that lets a stopped run go on."""
    if not budget and deadline is None:
        raise SpokenError("give --budget BUCKET=AMOUNT, --deadline, or both")
    session = session_of(context)
    body: dict[str, Any] = {"budget": _budget(budget)} if budget else {}
    body |= {"deadline": deadline} if deadline else {}
    with session.connect_customer(api_key) as edge:
        found = create(session, edge, _path(run, "extend"), body, key=idempotency_key)
    _say(session, found, as_json=as_json)


@app.command()
def close(context: typer.Context, run: Run, *, yes: Yes = False, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Close a run for good: what is left goes back to the balance."""
    session = session_of(context)
    confirm(f"Close the run {run}? It takes no further requests, and is not opened again.", yes=yes)
    with session.connect_customer(api_key) as edge:
        found = edge.post(_path(run, "close"))
    _say(session, found, as_json=as_json)
    if not as_json and (back := _budgets(found, "returned")):
        session.terminal.say(f"given back: {back}")


def _path(run: str, *more: str) -> str:
    return "/".join((PATH, quote(run, safe=""), *more))


def _budget(said: Sequence[str]) -> dict[str, str]:
    return {bucket: amount(text) for bucket, text in (_pair(each, "--budget") for each in said)}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise SpokenError(f"{option} {text!r}: write NAME=VALUE, such as credit=0.50")
    return name.strip(), value.strip()


def _say(session: Session, run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(run)
        return
    session.terminal.facts(
        {
            "run": run["id"], "state": run["state"], "label": run.get("label"), "deadline": run.get("deadline_at"),
            "budget": _budgets(run, "budget"), "spent": _budgets(run, "spent"), "left": _budgets(run, "left"),
            "warnings": run.get("warnings"),
        }
    )  # fmt: skip


def _budgets(run: dict[str, Any], name: str) -> str:
    rows = run.get("budgets") or []
    return ", ".join(f"{row['bucket']} {row[name]} {row['currency']}" for row in rows if row.get(name) is not None)


def _row(run: dict[str, Any]) -> tuple[Any, ...]:
    return (
        run["id"], run["state"], run.get("label"), run.get("key_name") or run.get("key_id"), _budgets(run, "budget"),
        _budgets(run, "spent"), when(run.get("opened_at")), when(run.get("deadline_at")),
    )  # fmt: skip
