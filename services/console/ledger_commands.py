"""`tollbook ledger …`: what the operator asks of the books."""

import typer

from services.console import case_commands

app = typer.Typer(help="Audit the books.", no_args_is_help=True)
app.add_typer(case_commands.app, name="cases")
