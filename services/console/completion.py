"""Completes ids in the shell, by asking the services briefly: silence rather than an error where they cannot answer."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import typer
from rich.console import Console

from services.console.addresses import SERVICES, Given
from services.console.connections import session
from services.console.errors import ConsoleError
from services.console.service_client import ServiceClient
from services.console.terminal import Terminal

SHOWN = 500
TIMEOUT = httpx.Timeout(1.5)
Complete = Callable[[typer.Context, str], list[tuple[str, str]]]


def ids_of(path: str, id_field: str, service: str = "edge") -> Complete:
    """Completes to the ids of a service's list, each with its name."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            with _connected(context, service) as client:
                client.answer_within(TIMEOUT)
                first = client.get(path, limit=SHOWN)
                found = first["data"]
                if incomplete and first.get("next_after"):
                    # Ids come in order: those that begin like this stand behind it, wherever the list is long.
                    found += client.get(path, after=incomplete, limit=SHOWN)["data"]
        except (ConsoleError, KeyError, TypeError):
            return []
        named = {str(row[id_field]): str(row.get("name") or "") for row in found}
        return [each for each in named.items() if any(word.startswith(incomplete) for word in each)]

    return complete


def _connected(context: typer.Context, service: str) -> ServiceClient:
    silent = Terminal(Console(quiet=True), Console(quiet=True))
    return session(_given(context), os.environ, silent).connect(service)


def _given(context: typer.Context) -> Given:
    """What was typed before the word that is completed; the variables count as well."""
    said = context.find_root().params
    stack = said.get("stack")
    return Given(
        urls={service: said.get(f"{service}_url") for service in SERVICES},
        token=said.get("token"),
        stack=Path(stack) if stack else None,
        profile=said.get("profile"),
    )
