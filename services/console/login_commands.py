"""`tollbook login`, `whoami` and `logout`: who the command line is to the services."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.addresses import Address, without_password
from services.console.connections import chosen_profile
from services.console.errors import ConsoleError, NobodyAskedError, RefusedError, UnknownAddressError
from services.console.profile_commands import say_if_passed_over
from services.console.profiles import STACK, URLS, Profile, read_profiles, require_name, write_profiles
from services.console.service_client import ServiceClient
from services.console.session import Json, Session, session_of
from services.console.stack_file import read_stack, stack_file

DEFAULT = "default"


def login(
    context: typer.Context,
    *,
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read the token from standard input.")] = False,
    account: Annotated[str | None, typer.Option(help="The account's id that commands are about where they name none.")] = None,
    as_json: Json = False,
) -> None:
    """Check a token, and keep it in a profile, which is used from then on.

    The profile is that of `--profile`, else the one in use, else `default`. Its addresses are
    those of the flags (`tollbook --edge-url URL login`), else its own, else the running stack's.
    """
    session = session_of(context)
    profiles = read_profiles(session.settings)
    asked = session.given.profile if session.given.profile != STACK else None
    name = require_name(asked or chosen_profile(session.given, session.variables, profiles) or DEFAULT)
    profile = _addressed(session, profiles.by_name.get(name, Profile()))
    known = profile.as_stack(read_stack(Path(profile.stack)) if profile.stack else {})
    if not known.get("edge_url"):
        raise UnknownAddressError(f"the profile {name} does not say where edge is", "give --edge-url before `login`")
    token = _token(session, stdin=token_stdin)
    with ServiceClient("edge", Address(url=known["edge_url"].rstrip("/"), token=token)) as edge:
        me = _me(edge)
    made = profiles.having(name, replace(profile, token=token, account=account or profile.account))
    made = replace(made, current=name)
    write_profiles(session.settings, made)
    say_if_passed_over(session, made)
    if as_json:
        session.terminal.json({"profile": name, "edge_url": known["edge_url"], "me": me})
    else:
        session.terminal.say(
            f"logged in to {without_password(known['edge_url'])} as {_named(me)}; the token is in the profile {name}"
        )


def whoami(context: typer.Context, *, as_json: Json = False) -> None:
    """Say who the token is, and what it may do where."""
    session = session_of(context)
    with session.connect("edge") as edge:
        me = _me(edge)
    profile = chosen_profile(session.given, session.variables, read_profiles(session.settings))
    if as_json:
        session.terminal.json({"profile": profile or STACK, "me": me})
        return
    session.terminal.facts(
        {"profile": profile or STACK, **{name: value for name, value in me.items() if name not in {"grants", "object"}}}
    )
    if me.get("grants"):
        session.terminal.table(
            ("role", "account"), [(each["role"], each.get("account_id") or "the installation") for each in me["grants"]]
        )


def logout(
    context: typer.Context,
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the token for good, too.")] = False,
    as_json: Json = False,
) -> None:
    """Take the token out of the profile in use. The profile and its addresses stay."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    name = chosen_profile(session.given, session.variables, profiles)
    if name is None or profiles.of(name).token is None:
        if as_json:
            session.terminal.json({"profile": name or STACK, "logged_out": False})
        else:
            session.terminal.say("nobody is logged in")
        return
    if revoke:
        _revoke(session)
    write_profiles(session.settings, profiles.having(name, replace(profiles.of(name), token=None)))
    if as_json:
        session.terminal.json({"profile": name, "logged_out": True, "revoked": revoke})
    else:
        session.terminal.say(f"the token is no longer in the profile {name}")


def _revoke(session: Session) -> None:
    with session.connect("edge") as edge:
        token_id = _me(edge).get("token_id")
        if token_id is None:
            raise ConsoleError("the admin token is no user's and is not revoked: leave --revoke out")
        edge.post(f"/admin/me/tokens/{token_id}/revoke")


def _addressed(session: Session, profile: Profile) -> Profile:
    """The profile with the addresses of the flags, else its own, else the running stack's."""
    flags = {f"{service}_url": url.rstrip("/") for service, url in session.given.urls.items() if url}
    if flags:
        return replace(profile, stack=None, **flags)
    if session.given.stack is None and (profile.stack or any(getattr(profile, url) for url in URLS)):
        return profile
    return replace(profile, stack=str((session.given.stack or stack_file(session.variables)).resolve()))


def _token(session: Session, *, stdin: bool) -> str:
    if stdin:
        token = sys.stdin.readline().strip()
    elif session.given.token:
        token = session.given.token
    elif sys.stdin.isatty():
        token = str(typer.prompt("Access token", hide_input=True, err=True)).strip()
    else:
        raise NobodyAskedError("nobody is here to type a token: give it with --token-stdin or in TOLLBOOK_TOKEN")
    if not token:
        raise NobodyAskedError("the token is empty: `tollbook tokens create NAME --user USER` makes one")
    return token


def _me(edge: ServiceClient) -> dict[str, Any]:
    try:
        me: dict[str, Any] = edge.get("/admin/me")
    except RefusedError as error:
        if error.status == 404:
            raise RefusedError(
                "this edge knows no users (it is of an older version): give its admin token in TOLLBOOK_ADMIN_TOKEN instead",
                status=404,
            ) from error
        raise
    return me


def _named(me: dict[str, Any]) -> str:
    return f"{me['name']} ({me['user_id']})" if me.get("user_id") else str(me.get("name") or "root")
