"""What every command is given by `cli.py`: the services, and a way to say things."""

import getpass
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from services.console.addresses import Given
from services.console.errors import ConsoleError, NobodyAskedError
from services.console.pending import Pending
from services.console.service_client import ServiceClient
from services.console.terminal import Terminal

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

Author = Annotated[
    str,
    typer.Option(
        envvar=["TOLLBOOK_AUTHOR", "USER"],
        help="Who does it, for the record; with a user's access token it is the user.",
        default_factory=getpass.getuser,
        show_default=False,
    ),
]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Raises ConsoleError for a no, NobodyAskedError where nobody is there to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NobodyAskedError(f"{question} Nobody is here to say so: give --yes")
    if not typer.confirm(question, err=True):
        raise ConsoleError("nothing was done")


@dataclass(frozen=True, kw_only=True)
class Session:
    """Addresses are looked up when a command asks for a service, so that offline commands need none."""

    connect: Callable[[str], ServiceClient]
    connect_customer: Callable[[str | None], ServiceClient]
    """Edge, with a customer's API key: the given one, or the demo's of the stack."""
    terminal: Terminal
    names: Callable[[], Mapping[str, str]] = dict
    """What a file's `${NAME}` is filled with: the environment, and the stack's own provider."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment of the command."""
    account: Callable[[], str | None] = lambda: None
    """The account that commands are about where they name none."""
    pending: Pending = field(default_factory=lambda: Pending(Path("pending")))
    """Creating calls that were cut."""
    settings: Path = Path("profiles.json")
    """The file of the profiles."""
    given: Given = field(default_factory=lambda: Given(urls={}))
    """Flags and variables, for the commands that are about them."""


def session_of(context: typer.Context) -> Session:
    """The session of the command that runs."""
    found = context.find_object(Session)
    assert found is not None, "cli.py makes the session before any command runs"
    return found
