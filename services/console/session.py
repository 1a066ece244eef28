"""What every command is given by `cli.py`: the services, and a way to say things."""

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import typer

from services.console.service_client import ServiceClient
from services.console.terminal import Terminal

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

Author = Annotated[
    str,
    typer.Option(
        envvar=["TOLLBOOK_AUTHOR", "USER"],
        help="Who does it, for the record.",
        default_factory=getpass.getuser,
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Session:
    """Addresses are looked up when a command asks for a service, so that offline commands need none."""

    connect: Callable[[str], ServiceClient]
    connect_customer: Callable[[str | None], ServiceClient]
    """Edge, with a customer's API key: the given one, or the demo's of the stack."""
    terminal: Terminal
    names: Callable[[], Mapping[str, str]] = dict
    """What a file's `${NAME}` is filled with: the environment, and the stack's own provider."""


def session_of(context: typer.Context) -> Session:
    """The session of the command that runs."""
    found = context.find_object(Session)
    assert found is not None, "cli.py makes the session before any command runs"
    return found
