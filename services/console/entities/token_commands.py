"""`tollbook tokens …`: what users present to make admin calls; the own ones, or another user's."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.console.completion import ids_of
from services.console.entities.creating import create
from services.console.entities.instants import when
from services.console.entities.naming import USER, id_of, path_of
from services.console.entities.options import IdempotencyKey, Limit, Reason
from services.console.entities.verbs import because
from services.console.paging import listed
from services.console.service_client import ServiceClient
from services.console.session import Author, Json, Yes, confirm, session_of
from services.console.spoken import as_time

app = typer.Typer(help="Access tokens: what users present to make admin calls.", no_args_is_help=True)
MINE = "/admin/me/tokens"
User = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        help="Whose, by id or name; by default your own.",
        show_default=False,
        autocompletion=ids_of(USER.path, USER.id_field),
    ),
]


@app.command("create")
def create_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    *,
    user: User = None,
    expires: Annotated[str | None, typer.Option(help="30d, 2027-01-01, or an instant; never where left out.")] = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Create an access token. It is shown this once, and may do what its user may."""
    session = session_of(context)
    body: dict[str, Any] = {"name": name, "expires_at": None if expires is None else as_time(expires)}
    with session.connect("edge") as edge:
        token = create(session, edge, _path(edge, user), body, key=idempotency_key)
    if as_json:
        session.terminal.json(token)
        return
    session.terminal.facts({name: value for name, value in token.items() if name not in {"object", "access_token"}})
    session.terminal.say("")
    session.terminal.say(token["access_token"], style="bold")
    session.terminal.progress("This is the token, for `tollbook login`. Keep it now: it is not shown again.")


@app.command("list")
def list_tokens(context: typer.Context, *, user: User = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List access tokens, without their secrets."""
    session = session_of(context)
    with session.connect("edge") as edge:
        found = listed(edge, _path(edge, user), limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("token", "name", "created", "expires", "revoked", "last used"),
        [
            (
                row["token_id"],
                row["name"],
                when(row["created_at"]),
                when(row["expires_at"]),
                when(row["revoked_at"]),
                row["last_used_on"],
            )
            for row in found["data"]
        ],
    )


@app.command()
def revoke(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="As `tokens list` shows it.", show_default=False)],
    *,
    user: User = None,
    reason: Reason = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Revoke an access token for good."""
    session = session_of(context)
    confirm(f"Revoke the access token {token_id} for good?", yes=yes)
    with session.connect("edge") as edge:
        path = f"{_path(edge, user)}/{quote(token_id, safe='')}/revoke"
        token = edge.post(path, because(author, reason))
    if as_json:
        session.terminal.json(token)
    else:
        session.terminal.say(f"{token_id} ({token['name']}) is revoked")


def _path(edge: ServiceClient, user: str | None) -> str:
    return MINE if user is None else path_of(USER, id_of(edge, USER, user), "tokens")
