"""`tollbook projects …`: the keys of one purpose, under one policy and one budget."""

from typing import Annotated

import typer

from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import PROJECT, account_of
from services.console.entities.options import Account, IdempotencyKey, Limit
from services.console.entities.pace import Rpm, Tpm, pace
from services.console.entities.policy_words import Models, Routes, policy_of
from services.console.entities.verbs import add_pace, add_verbs, say_entity, state_of
from services.console.paging import listed
from services.console.session import Json, session_of

app = typer.Typer(help="Projects: the keys of one purpose, under one policy and budget.", no_args_is_help=True)


@app.command("create")
def create_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What people call it.", show_default=False)],
    *,
    account: Account = None,
    models: Models = None,
    routes: Routes = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Create a project of an account."""
    session = session_of(context)
    policy = policy_of({"models": models, "route_types": routes})
    with session.connect("edge") as edge:
        body = {"account_id": account_of(session, edge, account), "name": name, "policy": policy, **pace(rpm, tpm)}
        project = create(session, edge, PROJECT.path, body, key=idempotency_key)
    say_entity(session, project, as_json=as_json)


@app.command("list")
def list_projects(context: typer.Context, *, account: Account = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List projects: of one account, or all that you may see."""
    session = session_of(context)
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account) if account or session.account() else None
        found = listed(edge, PROJECT.path, limit, account_id=holder)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("project", "name", "account", "state", "created"),
        [(row["project_id"], row["name"], row["account_id"], state_of(row), when(row["created_at"])) for row in found["data"]],
    )


add_verbs(app, PROJECT)
add_pace(app, PROJECT)
