"""`tollbook accounts …`: who has balances, projects and keys."""

from typing import Annotated

import typer

from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT
from services.console.entities.options import IdempotencyKey, Limit
from services.console.entities.pace import Rpm, Tpm, pace
from services.console.entities.policy_words import Models, Routes, policy_of
from services.console.entities.verbs import add_pace, add_verbs, say_entity, state_of
from services.console.paging import listed
from services.console.session import Json, session_of

app = typer.Typer(help="Accounts: who has balances, projects and keys.", no_args_is_help=True)


@app.command("create")
def create_account(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What people call it.", show_default=False)],
    *,
    models: Models = None,
    routes: Routes = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Create an account. It can spend nothing until it has a top-up or a cost centre."""
    session = session_of(context)
    body = {"name": name, "policy": policy_of({"models": models, "route_types": routes}), **pace(rpm, tpm)}
    with session.connect("edge") as edge:
        account = create(session, edge, ACCOUNT.path, body, key=idempotency_key)
    say_entity(session, account, as_json=as_json)


@app.command("list")
def list_accounts(context: typer.Context, *, limit: Limit = 100, as_json: Json = False) -> None:
    """List the accounts that you may see."""
    session = session_of(context)
    with session.connect("edge") as edge:
        found = listed(edge, ACCOUNT.path, limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("account", "name", "state", "created"),
        [(row["account_id"], row["name"], state_of(row), when(row["created_at"])) for row in found["data"]],
    )


add_verbs(app, ACCOUNT)
add_pace(app, ACCOUNT)
