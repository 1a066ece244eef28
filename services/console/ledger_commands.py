"""`tollbook ledger …`: what the operator asks of the books."""

import typer

from services.console import audit_commands, case_commands, dead_letter_commands

app = typer.Typer(help="Audit the books.", no_args_is_help=True)
app.command()(audit_commands.check)
app.command()(audit_commands.rebuild)
app.add_typer(case_commands.app, name="cases")
app.add_typer(dead_letter_commands.app, name="dead-letters")
