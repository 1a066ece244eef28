"""`tollbook users …`: people and programs that may make admin calls, and what roles they have where."""

from typing import Annotated, Any

import typer

from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT, USER, account_of, id_of, path_of
from services.console.entities.options import Account, IdempotencyKey, Limit, Reason
from services.console.entities.verbs import because, named
from services.console.errors import NotOneError
from services.console.paging import listed, rows
from services.console.service_client import ServiceClient
from services.console.session import Author, Json, Session, Yes, confirm, session_of
from services.console.spoken import SpokenError

app = typer.Typer(help="Users and their roles: who may make admin calls, and which.", no_args_is_help=True)
ACCOUNT_ROLES = ("owner", "billing", "member")
INSTALLATION_ROLES = ("operator", "on-call")
Role = Annotated[
    str, typer.Argument(help="owner, billing or member of an account; operator or on-call everywhere.", show_default=False)
]


@app.command("create")
def create_user(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What people call it.", show_default=False)],
    *,
    role: Annotated[
        str | None, typer.Option("--role", "-r", help="A first role, as of `users grant`.", show_default=False)
    ] = None,
    account: Account = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Create a user, with a role at once where one is given. `tollbook tokens create --user` lets it in."""
    session = session_of(context)
    with session.connect("edge") as edge:
        grants = [] if role is None else [_grant(session, edge, role, account)]
        user = create(session, edge, USER.path, {"name": name, "grants": grants}, key=idempotency_key)
    _say(session, user, as_json=as_json)


@app.command("list")
def list_users(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account's.", show_default=False)] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List users with the roles that you may know of."""
    session = session_of(context)
    with session.connect("edge") as edge:
        found = listed(edge, USER.path, limit, account_id=id_of(edge, ACCOUNT, account) if account else None)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("user", "name", "state", "roles", "created"),
        [(row["user_id"], row["name"], _state(row), _roles(row), when(row["created_at"])) for row in found["data"]],
    )


@app.command()
def show(context: typer.Context, name: Annotated[str, named(USER)], *, as_json: Json = False) -> None:
    """Show a user with its roles."""
    session = session_of(context)
    with session.connect("edge") as edge:
        user = edge.get(path_of(USER, id_of(edge, USER, name)))
    _say(session, user, as_json=as_json)


@app.command()
def rename(
    context: typer.Context,
    name: Annotated[str, named(USER)],
    to: Annotated[str, typer.Argument(metavar="NEW_NAME", show_default=False)],
    *,
    as_json: Json = False,
) -> None:
    """Give a user another name."""
    session = session_of(context)
    with session.connect("edge") as edge:
        user = edge.change("PATCH", path_of(USER, id_of(edge, USER, name)), {"name": to})
    _say(session, user, as_json=as_json)


@app.command()
def deactivate(
    context: typer.Context, name: Annotated[str, named(USER)], *, reason: Reason = None, author: Author, as_json: Json = False
) -> None:
    """Let none of a user's tokens count any more, until it is activated."""
    _act(session_of(context), name, "deactivate", because(author, reason), as_json=as_json)


@app.command()
def activate(
    context: typer.Context, name: Annotated[str, named(USER)], *, reason: Reason = None, author: Author, as_json: Json = False
) -> None:
    """Let a user's tokens count again."""
    _act(session_of(context), name, "activate", because(author, reason), as_json=as_json)


@app.command()
def grant(
    context: typer.Context,
    name: Annotated[str, named(USER)],
    role: Role,
    *,
    account: Account = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Give a user a role: in an account, or (operator, on-call) in the whole installation."""
    session = session_of(context)
    with session.connect("edge") as edge:
        body = _grant(session, edge, role, account)
        given = create(session, edge, path_of(USER, id_of(edge, USER, name), "grants"), body, key=idempotency_key)
    if as_json:
        session.terminal.json(given)
    else:
        session.terminal.facts({name: value for name, value in given.items() if name != "object"})


@app.command()
def take(
    context: typer.Context,
    name: Annotated[str, named(USER)],
    role: Role,
    *,
    account: Account = None,
    reason: Reason = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Take a role away from a user."""
    session = session_of(context)
    with session.connect("edge") as edge:
        wanted, user_id = _grant(session, edge, role, account), id_of(edge, USER, name)
        given = list(rows(edge, "/admin/grants", user_id=user_id))
        found = [row for row in given if (row["role"], row["account_id"]) == (wanted["role"], wanted["account_id"])]
        if not found:
            raise NotOneError(f"{name} has no role {role} there: `tollbook users show` lists those that it has")
        confirm(f"Take the role {role} from {name}?", yes=yes)
        taken = edge.post(f"/admin/grants/{found[0]['grant_id']}/take", because(author, reason))
    if as_json:
        session.terminal.json(taken)
    else:
        session.terminal.say(f"{name} has the role {role} no longer")


def _grant(session: Session, edge: ServiceClient, role: str, account: str | None) -> dict[str, Any]:
    """The role as edge takes it. Raises SpokenError for one that there is not, or that counts elsewhere."""
    if role in INSTALLATION_ROLES:
        if account is not None:
            raise SpokenError(f"the role {role} counts in the whole installation: leave --account out")
        return {"role": role, "account_id": None}
    if role not in ACCOUNT_ROLES:
        raise SpokenError(f"there is no role {role!r}: write one of {', '.join(ACCOUNT_ROLES + INSTALLATION_ROLES)}")
    return {"role": role, "account_id": account_of(session, edge, account)}


def _act(session: Session, name: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    with session.connect("edge") as edge:
        user = edge.post(path_of(USER, id_of(edge, USER, name), verb), body)
    _say(session, user, as_json=as_json)


def _say(session: Session, user: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(user)
        return
    shown = ("user_id", "name", "created_at")
    session.terminal.facts({**{name: user[name] for name in shown}, "state": _state(user), "roles": _roles(user)})


def _state(user: dict[str, Any]) -> str:
    return "active" if user["active"] else "deactivated"


def _roles(user: dict[str, Any]) -> str:
    return ", ".join(
        f"{each['role']} of {each['account_id']}" if each["account_id"] else each["role"] for each in user["grants"]
    )
