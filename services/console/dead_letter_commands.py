"""`tollbook ledger dead-letters …`: records that could not be used, and reading them again."""

from typing import Annotated, Any

import typer

from services.console.errors import FOUND_WRONG
from services.console.session import Author, Json, Session, session_of

app = typer.Typer(help="Dead letters: records that the ledger set aside.", no_args_is_help=True)
COLUMNS = ("place", "reason", "detail", "bytes", "found", "tries", "state")
PAGE = 200
STILL_POISON = "still_poison"
Place = Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="Where the record lies.", show_default=False)]
Reason = Annotated[str | None, typer.Option(help="Only those of this reason, such as unreadable.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that were redriven too.")] = False,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List the records that wait, by their place in the topic."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        reply = settlement.get("/admin/dead-letters", waiting=None if every else True, reason=reason, limit=limit)
    if as_json:
        session.terminal.json(reply)
        return
    if reply["data"]:
        session.terminal.table(COLUMNS, map(_row, reply["data"]))
    for each in reply["reasons"]:
        session.terminal.say(f"{each['reason']}: {each['waiting']} wait, {each['redriven']} redriven")
    if not reply["reasons"]:
        session.terminal.say("There are no dead letters.")


@app.command()
def show(context: typer.Context, place: Place, topic: str = "tollbook.attempts.v1", as_json: Json = False) -> None:
    """Show a record and why it was set aside."""
    session = session_of(context)
    partition, offset = _place(place)
    with session.connect("settlement") as settlement:
        letter = settlement.get(f"/admin/dead-letters/{topic}/{partition}/{offset}")
    if as_json:
        session.terminal.json(letter)
        return
    for name, value in letter.items():
        if value is not None:
            session.terminal.say(f"{name:<12} {value}")


@app.command()
def redrive(
    context: typer.Context,
    place: Annotated[str | None, typer.Argument(metavar="[PARTITION/OFFSET]", help="Only this one.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    reason: Reason = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Read records again with today's code and price books: what can be settled by now is settled, once."""
    if sum((place is not None, every, reason is not None)) != 1:
        raise typer.BadParameter("give one PARTITION/OFFSET, --reason, or --all")
    session = session_of(context)
    order: dict[str, Any] = {"author": author, "reason": reason, "limit": PAGE}
    if place is not None:
        order["partition"], order["offset"] = _place(place)
    outcomes = _redrive(session, order)
    if as_json:
        session.terminal.json({"outcomes": outcomes})
    else:
        for outcome, count in sorted(outcomes.items()):
            session.terminal.say(f"{outcome}: {count}")
        if not outcomes:
            session.terminal.say("There was nothing to redrive.")
    if outcomes.get(STILL_POISON):
        raise typer.Exit(FOUND_WRONG)


def _redrive(session: Session, order: dict[str, Any]) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    with session.connect("settlement") as settlement:
        while True:
            reply = settlement.post("/admin/dead-letters/redrive", order)
            for outcome, count in reply["outcomes"].items():
                outcomes[outcome] = outcomes.get(outcome, 0) + count
            if reply["next"] is None:
                return outcomes
            order = {**order, "after": reply["next"]}
            session.terminal.progress(f"  {sum(outcomes.values())} read again …")


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{text!r} is no place: write PARTITION/OFFSET, such as 2/1041")
    return int(partition), int(offset)


def _row(letter: dict[str, Any]) -> tuple[Any, ...]:
    state = letter["outcome"] or "waits"
    place = f"{letter['partition']}/{letter['offset']}"
    return place, letter["reason"], letter["detail"], letter["bytes"], letter["found_at"], letter["tries"], state
