"""`tollbook keys …`: what programs present."""

from typing import Annotated, Any

import typer

from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import KEY, PROJECT, account_of, id_of, path_of
from services.console.entities.options import Account, IdempotencyKey, Limit, Project, Reason
from services.console.entities.pace import Rpm, Tpm, pace
from services.console.entities.policy_words import ANY, Models, Routes, policy_of
from services.console.entities.verbs import act, add_verbs, because, named, patch, say_entity, state_of
from services.console.errors import NotOneError
from services.console.paging import listed, rows
from services.console.service_client import ServiceClient
from services.console.session import Author, Json, Session, Yes, confirm, session_of
from services.console.spoken import SpokenError, as_time

NEVER = "never"
Expires = Annotated[str | None, typer.Option(help="30d, 2027-01-01, an instant, or never.", show_default=False)]
AllowIp = Annotated[
    list[str] | None,
    typer.Option(help="An address or network that it may be used from, or any; may be repeated.", show_default=False),
]
app = typer.Typer(help="API keys: what programs present.", no_args_is_help=True)


@app.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What people call it.", show_default=False)],
    *,
    project: Project = None,
    account: Account = None,
    environment: Annotated[str, typer.Option("--environment", "-e", help="A label, such as production.")] = "default",
    models: Models = None,
    routes: Routes = None,
    expires: Expires = None,
    allow_ip: AllowIp = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Create a key of a project. The key itself is shown this once."""
    session = session_of(context)
    policy = policy_of({"models": models, "route_types": routes})
    with session.connect("edge") as edge:
        body: dict[str, Any] = {
            "project_id": project_of(session, edge, project, account),
            "name": name,
            "environment": environment,
        }
        body |= {"policy": policy, **_bounds(expires, allow_ip), **pace(rpm, tpm)}
        key = create(session, edge, KEY.path, body, key=idempotency_key)
    say_new_key(session, key, as_json=as_json)


@app.command("list")
def list_keys(context: typer.Context, *, project: Project = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List keys, without their secrets: of one project, or all that you may see."""
    session = session_of(context)
    with session.connect("edge") as edge:
        found = listed(edge, KEY.path, limit, project_id=id_of(edge, PROJECT, project) if project else None)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("key", "name", "project", "environment", "state", "created"),
        [
            (row["key_id"], row["name"], row["project_id"], row["environment"], state_of(row), when(row["created_at"]))
            for row in found["data"]
        ],
    )


@app.command("set")
def set_key(
    context: typer.Context,
    name: Annotated[str, named(KEY)],
    *,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Another label.", show_default=False)] = None,
    expires: Expires = None,
    allow_ip: AllowIp = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    reason: Reason = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Change a key's label, expiry, allowed addresses, requests and tokens per minute. What is not given stays as it is."""
    fields = _bounds(expires, allow_ip) | pace(rpm, tpm) | ({"environment": environment} if environment is not None else {})
    if not fields:
        raise SpokenError("give what is to change: --environment, --expires, --allow-ip, --rpm or --tpm")
    session = session_of(context)
    say_entity(session, patch(session, KEY, name, fields | because(author, reason)), as_json=as_json)


@app.command()
def rotate(
    context: typer.Context,
    name: Annotated[str, named(KEY)],
    *,
    overlap: Annotated[str, typer.Option(help="For how long the former secret goes on: 30m, 24h, 7d; 0s: not at all.")] = "24h",
    reason: Reason = None,
    idempotency_key: IdempotencyKey = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Give a key another secret, which is shown this once. The former one works until the overlap ends."""
    session = session_of(context)
    body = {"overlap": overlap, **because(author, reason)}
    with session.connect("edge") as edge:
        key = create(session, edge, path_of(KEY, id_of(edge, KEY, name), "rotate"), body, key=idempotency_key)
    say_new_key(session, key, as_json=as_json)


@app.command()
def revoke(
    context: typer.Context,
    name: Annotated[str, named(KEY)],
    *,
    reason: Reason = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Revoke a key for good: its requests are refused at once, and nothing brings it back."""
    session = session_of(context)
    confirm(f"Revoke the key {name} for good?", yes=yes)
    say_entity(session, act(session, KEY, name, "revoke", because(author, reason)), as_json=as_json)


def _bounds(expires: str | None, allow_ip: list[str] | None) -> dict[str, Any]:
    """When a key ends and from where it may be used, as far as it was said; `never` and `any` take the bound away."""
    fields: dict[str, Any] = {}
    if expires is not None:
        fields["expires_at"] = None if expires == NEVER else as_time(expires)
    if allow_ip:
        fields["allowed_ips"] = None if allow_ip == [ANY] else allow_ip
    return fields


def project_of(session: Session, edge: ServiceClient, text: str | None, account: str | None) -> str:
    """The project that is meant: the named one, or the only one of the account."""
    holder = account_of(session, edge, account) if account or text is None else None
    if text is not None:
        return id_of(edge, PROJECT, text, account_id=holder)
    found = [row for _, row in zip(range(2), rows(edge, PROJECT.path, account_id=holder), strict=False)]
    if len(found) != 1:
        hint = "`tollbook projects create NAME` makes one" if not found else "give --project, by id or name"
        raise NotOneError(
            f"which project of {holder} is meant is not clear, there is {'none' if not found else 'not one'}: {hint}"
        )
    return str(found[0]["project_id"])


def say_new_key(session: Session, key: dict[str, Any], *, as_json: bool) -> None:
    """A new key with its secret, which nobody can show again."""
    if as_json:
        session.terminal.json(key)
        return
    say_entity(session, {name: value for name, value in key.items() if name != "api_key"}, as_json=False)
    session.terminal.say("")
    session.terminal.say(key["api_key"], style="bold")
    session.terminal.progress("This is the key. Keep it now: it is not shown again.")


add_verbs(app, KEY)
