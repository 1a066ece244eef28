"""`tollbook ledger cases …`: what the ledger could not decide by itself."""

from typing import Annotated, Any

import typer

from services.console.session import Json, session_of

app = typer.Typer(help="Cases: what a person has to look at.", no_args_is_help=True)
COLUMNS = ("case", "kind", "account", "owner", "opened", "due", "state", "exposure", "currency", "what")


@app.command("list")
def list_cases(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List the open cases, oldest first."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        reply = settlement.get("/admin/cases", limit=limit, open=None if every else True)
    if as_json:
        session.terminal.json(reply)
    else:
        session.terminal.table(COLUMNS, map(_row, reply["data"]))


def _row(case: dict[str, Any]) -> tuple[Any, ...]:
    state = case.get("resolution") or ("closed" if case.get("closed_at") else "open")
    return (
        case["id"], case["kind"], case["holder"], case["owner"], case["opened_at"], case["due_at"], state,
        case["exposure_nano"], case["currency"], case["detail"],
    )  # fmt: skip
