"""`tollbook budgets …`: limits of what an account, a bucket, a project or a key may spend."""

from typing import Annotated, Any

import typer

from services.console.entities.buckets import currency_of
from services.console.entities.instants import when
from services.console.entities.money import money
from services.console.entities.naming import KEY, PROJECT, account_of, id_of
from services.console.entities.options import Account, KeyOption, Limit, MaybeBucket, Project
from services.console.errors import NotOneError
from services.console.paging import listed, rows
from services.console.service_client import ServiceClient
from services.console.session import Author, Json, Session, session_of
from services.console.spoken import SpokenError, amount, window

app = typer.Typer(help="Budgets: the most that an account, bucket, project or key may spend.", no_args_is_help=True)
Window = Annotated[str, typer.Option("--window", "-w", help="total, day or month; a day and a month begin in UTC.")]
Currency = Annotated[str | None, typer.Option(help="Such as USD, where nothing else says it.", show_default=False)]
PATH = "/admin/limits"


@app.command("set")
def set_budget(
    context: typer.Context,
    limit: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 100, 12.50 or '100 USD'.", show_default=False)],
    *,
    window_: Window = "month",
    account: Account = None,
    bucket: MaybeBucket = None,
    project: Project = None,
    key: KeyOption = None,
    currency: Currency = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Set or change a budget: of one bucket, project or key, or of the whole account. It counts what was spent before, too."""
    session = session_of(context)
    body = _envelope(session, account, bucket, project, key) | {"window": window(window_), "author": author}
    with session.connect("settlement") as settlement:
        own = currency_of(settlement, body["account_id"], bucket, limit, currency)
        done = settlement.post(PATH, {**body, "currency": own, "limit": amount(limit, own)})
    _say(session, done, as_json=as_json)


@app.command("list")
def list_budgets(context: typer.Context, *, account: Account = None, limit: Limit = 500, as_json: Json = False) -> None:
    """List an account's budgets with what is spent, held and left of each in its present window."""
    session = session_of(context)
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
    with session.connect("settlement") as settlement:
        found = listed(settlement, PATH, limit, account_id=holder)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("of", "id", "window", "budget", "spent", "held", "left", "since", "set by"), [_row(row) for row in found["data"]]
    )


@app.command("remove")
def remove_budget(
    context: typer.Context,
    *,
    window_: Window = "month",
    account: Account = None,
    bucket: MaybeBucket = None,
    project: Project = None,
    key: KeyOption = None,
    currency: Currency = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Take a budget away. What is spent goes on being counted, so that setting it again finds it."""
    session = session_of(context)
    body = _envelope(session, account, bucket, project, key) | {"window": window(window_)}
    with session.connect("settlement") as settlement:
        own = currency or _only_currency(settlement, body)
        done = settlement.post(PATH, {**body, "currency": own, "limit": None, "author": author})
    _say(session, done, as_json=as_json)


def _envelope(
    session: Session, account: str | None, bucket: str | None, project: str | None, key: str | None
) -> dict[str, str]:
    """Whose budget it is, as settlement names it."""
    if sum(each is not None for each in (bucket, project, key)) > 1:
        raise SpokenError("a budget is of one thing: give one of --bucket, --project and --key, or none for the whole account")
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
        if project is not None:
            return {"account_id": holder, "kind": "project", "id": id_of(edge, PROJECT, project, account_id=holder)}
        if key is not None:
            return {"account_id": holder, "kind": "key", "id": id_of(edge, KEY, key)}
    if bucket is not None:
        return {"account_id": holder, "kind": "bucket", "id": bucket}
    return {"account_id": holder, "kind": "account", "id": holder}


def _only_currency(settlement: ServiceClient, asked: dict[str, str]) -> str:
    budgets = rows(settlement, PATH, account_id=asked["account_id"])
    named = ("kind", "id", "window")
    found = {row["currency"] for row in budgets if row["limit"] is not None and all(row[name] == asked[name] for name in named)}
    if len(found) != 1:
        what = f"{asked['kind']} {asked['id']} has no budget per {asked['window']}" if not found else "several currencies fit"
        raise NotOneError(
            f"{what}: `tollbook budgets list` shows those that there are; --window and --currency tell them apart"
        )
    return str(found.pop())


def _say(session: Session, done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(done)
        return
    said = money(done["limit_nano"], done["currency"])
    whose = f"{done['kind']} {done['id']}"
    session.terminal.say(
        f"{whose}: {said} per {done['window']}" if said else f"{whose}: no budget per {done['window']} any more"
    )


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    currency, limit = row["currency"], row["limit_nano"]
    spent, held = row["spent_nano"] or 0, row["held_nano"] or 0
    left = None if limit is None else money(limit - spent - held, currency)
    since = None if row["window"] == "total" else when(row["window_start"])
    budget = money(limit, currency) if limit is not None else "none"
    return (
        row["kind"], row["id"], row["window"], budget, money(spent, currency), money(held, currency), left, since,
        row["changed_by"],
    )  # fmt: skip
