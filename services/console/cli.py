"""The command line's composition root: every group of commands is registered here, and nowhere else."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.console import (
    alert_rule_commands,
    fx_commands,
    ledger_commands,
    login_commands,
    price_commands,
    profile_commands,
    receipt_commands,
    route_commands,
    route_file_commands,
    secret_commands,
)
from services.console.addresses import Given
from services.console.backtest_command import backtest
from services.console.chat_command import chat
from services.console.connections import session
from services.console.doctor.command import doctor
from services.console.entities import (
    account_commands,
    alert_commands,
    budget_commands,
    channel_commands,
    key_commands,
    money_commands,
    project_commands,
    request_commands,
    run_commands,
    statement_commands,
    token_commands,
    topup_commands,
    usage_commands,
    user_commands,
)
from services.console.entities.audit_log_command import audit_log
from services.console.entities.delivery_commands import add_delivery_commands
from services.console.errors import ConsoleError
from services.console.margin_command import margin
from services.console.reconcile.command import reconcile
from services.console.setup.command import init
from services.console.spoken import SpokenError
from services.console.status_command import status
from services.console.tail_command import tail
from services.console.terminal import Terminal

HELP = """Tollbook from the command line: everything that an operator and a customer can decide, and the books.

The running stack of this checkout is found by itself; an installation elsewhere is named by a profile
(`tollbook profile add`, `tollbook login`), by flags or by variables. Completion of the shell: `tollbook --install-completion`.
Backups of the stack on this machine: `tollbook backup create|verify|restore`.

Exit codes: 0 done and right, 1 done and something is wrong with the books, 2 wrong usage, 3 could not be done."""

WRONG_USAGE = 2

app = typer.Typer(
    name="tollbook",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(login_commands.login)
app.command()(login_commands.whoami)
app.command()(login_commands.logout)
app.add_typer(profile_commands.app, name="profile")
app.add_typer(user_commands.app, name="users")
app.add_typer(token_commands.app, name="tokens")
app.add_typer(account_commands.app, name="accounts")
app.add_typer(project_commands.app, name="projects")
app.add_typer(key_commands.app, name="keys")
app.add_typer(budget_commands.app, name="budgets")
app.add_typer(budget_commands.app, name="limits", hidden=True)
app.command()(topup_commands.balances)
app.add_typer(topup_commands.app, name="topups")
app.add_typer(money_commands.app, name="money")
app.add_typer(statement_commands.app, name="statements")
app.add_typer(usage_commands.app, name="usage")
app.add_typer(run_commands.app, name="runs")
app.add_typer(request_commands.app, name="requests")
alert_commands.app.add_typer(alert_rule_commands.app, name="rules")
alert_commands.app.command()(backtest)
add_delivery_commands(alert_commands.app)
app.add_typer(alert_commands.app, name="alerts")
app.add_typer(channel_commands.app, name="channels")
app.add_typer(channel_commands.catalog_app, name="catalog")
app.command("audit-log")(audit_log)
app.command()(init)
app.command()(status)
app.command()(doctor)
app.command()(chat)
app.command()(tail)
app.add_typer(ledger_commands.app, name="ledger")
app.command()(reconcile)
app.add_typer(receipt_commands.app, name="receipt")
app.add_typer(route_commands.app, name="route")
app.add_typer(route_file_commands.app, name="routes")
app.add_typer(price_commands.app, name="prices")
app.add_typer(fx_commands.app, name="fx")
app.command()(margin)
app.add_typer(secret_commands.app, name="secrets")


@app.callback()
def begin(
    context: typer.Context,
    *,
    profile: Annotated[
        str | None,
        typer.Option(envvar="TOLLBOOK_PROFILE", metavar="NAME", help="A profile; `stack` is the running stack, without any."),
    ] = None,
    edge_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_EDGE_URL", metavar="URL")] = None,
    router_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_ROUTER_URL", metavar="URL")] = None,
    settlement_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_SETTLEMENT_URL", metavar="URL")] = None,
    analytics_url: Annotated[str | None, typer.Option(envvar="TOLLBOOK_ANALYTICS_URL", metavar="URL")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            "--admin-token",
            envvar=["TOLLBOOK_TOKEN", "TOLLBOOK_ADMIN_TOKEN"],
            help="Opens the admin calls: a user's access token, or the installation's admin token.",
            show_envvar=True,
        ),
    ] = None,
    stack: Annotated[
        Path | None, typer.Option(help="A stack's stack.json; by default the one in TOLLBOOK_HOME or .tollbook/.")
    ] = None,
) -> None:
    """Find out where the services are."""
    urls = {"edge": edge_url, "router": router_url, "settlement": settlement_url, "analytics": analytics_url}
    given = Given(urls=urls, token=token, stack=stack, profile=profile)
    context.obj = session(given, os.environ, _terminal())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what keeps it from its work is said on stderr."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="tollbook")
    except ConsoleError as error:
        _terminal().error(str(error))
        sys.exit(error.exit_code)
    except SpokenError as error:
        _terminal().error(str(error))
        sys.exit(WRONG_USAGE)


def _terminal() -> Terminal:
    return Terminal(Console(emoji=False), Console(stderr=True, emoji=False))
