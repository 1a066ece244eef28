"""The command line's composition root: every group of commands is registered here, and nowhere else."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.console import ledger_commands, receipt_commands, route_commands, route_file_commands, secret_commands
from services.console.addresses import Addresses
from services.console.errors import ConsoleError
from services.console.reconcile.command import reconcile
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.stack_file import read_stack, stack_file
from services.console.status_command import status
from services.console.terminal import Terminal

HELP = """Tollbook's books, from the command line.

Exit codes: 0 done and right, 1 done and something is wrong with the books, 2 wrong usage, 3 could not be done."""

app = typer.Typer(
    name="tollbook",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(ledger_commands.app, name="ledger")
app.command()(reconcile)
app.add_typer(receipt_commands.app, name="receipt")
app.add_typer(route_commands.app, name="route")
app.add_typer(route_file_commands.app, name="routes")
app.add_typer(secret_commands.app, name="secrets")
app.command()(status)


@app.callback()
def begin(
    context: typer.Context,
    *,
    edge_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_EDGE_URL", metavar="URL")] = None,
    router_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_ROUTER_URL", metavar="URL")] = None,
    settlement_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_SETTLEMENT_URL", metavar="URL")] = None,
    analytics_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_ANALYTICS_URL", metavar="URL")] = None,
    admin_token: Annotated[
        str | None, typer.Option(envvar="TOLLBOOK_ADMIN_TOKEN", help="Opens the admin APIs.", show_envvar=True)
    ] = None,
    stack: Annotated[
        Path | None, typer.Option(help="A stack's stack.json; by default the one in TOLLBOOK_HOME or .tollbook/.")
    ] = None,
) -> None:
    """Find out where the services are."""
    file = stack or stack_file(os.environ)
    urls = {"edge": edge_url, "router": router_url, "settlement": settlement_url, "analytics": analytics_url}

    def connect(service: str) -> ServiceClient:
        addresses = Addresses(urls=urls, token=admin_token, stack=read_stack(file), stack_file=str(file))
        return ServiceClient(service, addresses.of(service))

    def connect_customer(api_key: str | None) -> ServiceClient:
        addresses = Addresses(urls=urls, token=None, stack=read_stack(file), stack_file=str(file))
        return ServiceClient("edge", addresses.of_customer(api_key))

    def names() -> dict[str, str]:
        provider_url = read_stack(file).get("provider_url")
        return {**({"TOLLBOOK_PROVIDER_URL": provider_url} if provider_url else {}), **os.environ}

    context.obj = Session(connect=connect, connect_customer=connect_customer, terminal=_terminal(), names=names)


def main() -> None:
    """Run one command; what keeps it from its work is said on stderr."""
    try:
        app(prog_name="tollbook")
    except ConsoleError as error:
        _terminal().error(str(error))
        sys.exit(error.exit_code)


def _terminal() -> Terminal:
    return Terminal(Console(), Console(stderr=True))
