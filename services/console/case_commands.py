"""`tollbook ledger cases …`: what the ledger could not decide by itself."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from services.console.session import Author, Json, Session, session_of

app = typer.Typer(help="Cases: what a person has to look at.", no_args_is_help=True)
COLUMNS = ("case", "kind", "account", "owner", "age", "state", "exposure", "currency", "what")
CaseId = Annotated[UUID, typer.Argument(help="The case's id.", show_default=False)]


@app.command("list")
def list_cases(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those past their maximum age.")] = False,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as expired_hold.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List the open cases, newest first."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        reply = settlement.get(
            "/admin/cases", limit=limit, open=None if every else True, overdue=overdue or None, owner=owner, kind=kind
        )
    if as_json:
        session.terminal.json(reply)
    elif reply["data"]:
        session.terminal.table(COLUMNS, map(_row, reply["data"]))
    else:
        session.terminal.say("There are no such cases.")


@app.command()
def show(context: typer.Context, case_id: CaseId, as_json: Json = False) -> None:
    """Show a case and everything that was done about it."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        case = settlement.get(f"/admin/cases/{case_id}")
    _say(session, case, as_json=as_json)


@app.command()
def assign(context: typer.Context, case_id: CaseId, owner: str, author: Author, as_json: Json = False) -> None:
    """Give a case to somebody."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        case = settlement.post(f"/admin/cases/{case_id}/assign", {"owner": owner, "author": author})
    _say(session, case, as_json=as_json)


@app.command()
def close(
    context: typer.Context,
    case_id: CaseId,
    *,
    resolution: Annotated[str, typer.Option(help="What was found and done, in a sentence.", show_default=False)],
    decision: Annotated[
        str | None, typer.Option(help="Of an expired hold: charge_nothing, or write_off for exposure taken for lost.")
    ] = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Close a case; the topic tells of it."""
    session = session_of(context)
    body = {"resolution": resolution, "decision": decision, "author": author}
    with session.connect("settlement") as settlement:
        case = settlement.post(f"/admin/cases/{case_id}/close", body)
    _say(session, case, as_json=as_json)


def _say(session: Session, case: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(case)
        return
    for name, value in case.items():
        if name not in {"changes", "age_s"} and value is not None:
            session.terminal.say(f"{name:<14} {value}")
    for change in case["changes"]:
        session.terminal.say(f"{change['at']}  {change['kind']} by {change['author']}: {change['detail']}")


def _row(case: dict[str, Any]) -> tuple[Any, ...]:
    state = "closed" if case["closed_at"] else "OVERDUE" if case["overdue"] else "open"
    age = timedelta(seconds=case["age_s"])
    return (
        case["id"], case["kind"], case["holder"], case["owner"], age, state, case["exposure_nano"], case["currency"],
        case["resolution"] or case["detail"],
    )  # fmt: skip
