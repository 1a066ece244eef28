"""`tollbook profile …`: installations that are named once and used by name."""

from dataclasses import replace
from typing import Annotated

import typer

from services.console.connections import chosen_profile
from services.console.errors import UnknownProfileError
from services.console.profiles import STACK, URLS, Profile, Profiles, read_profiles, require_name, write_profiles
from services.console.session import Json, Session, Yes, confirm, session_of

app = typer.Typer(help="Installations, named once.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The profile's name.", show_default=False)]
Url = Annotated[str | None, typer.Option(metavar="URL", show_default=False)]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    *,
    edge_url: Url = None,
    router_url: Url = None,
    settlement_url: Url = None,
    analytics_url: Url = None,
    stack: Annotated[str | None, typer.Option(metavar="FILE", help="A stack's stack.json in place of URLs.")] = None,
    account: Annotated[str | None, typer.Option(help="The account's id that commands are about where they name none.")] = None,
    use: Annotated[bool, typer.Option("--use", help="Use it from now on.")] = False,
    as_json: Json = False,
) -> None:
    """Add a profile, or change what is given of one; `tollbook --profile NAME login` puts a token into it."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    said = {"edge_url": edge_url, "router_url": router_url, "settlement_url": settlement_url, "analytics_url": analytics_url}
    said |= {"stack": stack, "account": account}
    before = profiles.by_name.get(require_name(name), Profile())
    after = replace(before, **{field: value.rstrip("/") for field, value in said.items() if value is not None})
    if any(getattr(before, field) != getattr(after, field) for field in (*URLS, "stack")):
        # A token belongs to the addresses that it was given for, and goes to no others.
        after = replace(after, token=None, api_key=None)
    made = profiles.having(name, after)
    if use or profiles.current is None:
        made = replace(made, current=name)
    write_profiles(session.settings, made)
    _say(session, made, name, as_json=as_json)


@app.command("list")
def list_profiles(context: typer.Context, *, as_json: Json = False) -> None:
    """List the profiles; the one that commands use now is marked."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    used = chosen_profile(session.given, session.variables, profiles)
    say_if_passed_over(session, profiles)
    rows = [{"name": STACK, "in_use": used is None, **Profile().shown()}]
    rows += [{"name": name, "in_use": name == used, **each.shown()} for name, each in sorted(profiles.by_name.items())]
    if as_json:
        session.terminal.json({"object": "list", "data": rows, "next_after": None})
        return
    session.terminal.table(
        ("", "name", "edge", "token", "account"),
        [
            (
                "*" if row["in_use"] else "",
                row["name"],
                row["edge_url"] or row["stack"] or ("the running stack" if row["name"] == STACK else None),
                "yes" if row["has_token"] else None,
                row["account"],
            )
            for row in rows
        ],
    )


@app.command()
def use(context: typer.Context, name: Name, *, as_json: Json = False) -> None:
    """Use a profile from now on; `stack` goes back to the running stack."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    if name != STACK:
        profiles.of(name)
    made = replace(profiles, current=None if name == STACK else name)
    write_profiles(session.settings, made)
    _say(session, made, name, as_json=as_json)
    say_if_passed_over(session, made)


@app.command()
def show(
    context: typer.Context, name: Annotated[str | None, typer.Argument(show_default=False)] = None, *, as_json: Json = False
) -> None:
    """Show a profile, by default the one in use. Its token is never printed."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    say_if_passed_over(session, profiles)
    _say(session, profiles, name or chosen_profile(session.given, session.variables, profiles) or STACK, as_json=as_json)


@app.command()
def remove(context: typer.Context, name: Name, *, yes: Yes = False, as_json: Json = False) -> None:
    """Forget a profile with its token. The token itself stays valid: `tollbook logout --revoke` ends it."""
    session = session_of(context)
    profiles = read_profiles(session.settings)
    left = profiles.without(name)
    confirm(f"Forget the profile {name} and its token?", yes=yes)
    write_profiles(session.settings, left)
    if as_json:
        session.terminal.json({"name": name, "removed": True})
    else:
        session.terminal.say(f"profile {name} is forgotten")


def say_if_passed_over(session: Session, profiles: Profiles) -> None:
    """Say where a profile is in use and commands ask the stack of TOLLBOOK_HOME all the same."""
    if profiles.current and not session.given.profile and session.variables.get("TOLLBOOK_HOME"):
        session.terminal.error(
            f"TOLLBOOK_HOME is set, and its stack goes before the profile {profiles.current}: unset it, or give --profile"
        )


def _say(session: Session, profiles: Profiles, name: str, *, as_json: bool) -> None:
    if name == STACK:
        shown = {"name": STACK, "current": profiles.current is None, **Profile().shown()}
    elif name in profiles.by_name:
        shown = {"name": name, "current": profiles.current == name, **profiles.of(name).shown()}
    else:
        raise UnknownProfileError(f"there is no profile {name!r}: `tollbook profile list` shows those that there are")
    if as_json:
        session.terminal.json(shown)
    else:
        session.terminal.facts(shown)
