"""`tollbook ledger check` and `tollbook ledger rebuild`: the whole ledger, proved while it works."""

import time
from collections.abc import Collection
from typing import Annotated, Any

import typer

from services.console.bar import Bar
from services.console.errors import FOUND_WRONG, ConsoleError
from services.console.loaded_counts import loaded_counts
from services.console.service_client import ServiceClient
from services.console.session import Json, Session, session_of
from services.console.terminal import Terminal

POLL_S = 0.5
SHOWN = 10
"""Differences of one kind that a person is shown; `--json` has more, and the shadow schema all of them."""


def check(
    context: typer.Context,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what reads the topics from offset 0 (I12, I14).")] = False,
    without_clickhouse: Annotated[
        bool, typer.Option("--without-clickhouse", help="Leave out I12, which compares ClickHouse.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove the invariants I1 to I14 on the running ledger, one line each."""
    session = session_of(context)
    loaded = None
    if not quick and not without_clickhouse:
        with session.connect("analytics") as analytics:
            loaded = loaded_counts(analytics)
    audit = _audit(session, {"kind": "check", "quick": quick, "loaded": loaded}, quiet=as_json)
    result = audit["result"]
    if as_json:
        session.terminal.json(audit)
    else:
        for line in result["invariants"]:
            session.terminal.say(_verdict(line, result["uncompared"]), style=_STYLE[line["ok"]])
        if result["rebuild"] is not None and not result["ok"]:
            _say_report(session.terminal, result["rebuild"])
    if result["ok"]:
        return
    if any(line["ok"] is False for line in result["invariants"]):
        raise typer.Exit(FOUND_WRONG)
    raise ConsoleError(f"{', '.join(result['uncompared'])} was not compared with all that was published: check again")


def rebuild(context: typer.Context, as_json: Json = False) -> None:
    """Price the topics anew from offset 0 into a shadow schema, and compare every balance, window and posting."""
    session = session_of(context)
    audit = _audit(session, {"kind": "rebuild"}, quiet=as_json)
    if as_json:
        session.terminal.json(audit)
    else:
        _say_report(session.terminal, audit["result"]["rebuild"])
    if not audit["result"]["ok"]:
        raise typer.Exit(FOUND_WRONG)


_STYLE = {True: None, False: "red", None: "yellow"}


def _audit(session: Session, order: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Start an audit and follow it to its end. Raises ConsoleError when it could not be done."""
    with session.connect("settlement") as settlement:
        started = settlement.post("/admin/ledger/checks", order)
        with session.terminal.working("auditing the ledger", quiet=quiet) as bar:
            audit = _follow(settlement, bar, started["id"])
    if audit["state"] == "failed":
        raise ConsoleError(f"the audit {audit['id']} could not be done: {audit['error']}")
    return audit


def _follow(settlement: ServiceClient, bar: Bar, audit_id: str) -> dict[str, Any]:
    while True:
        audit: dict[str, Any] = settlement.get(f"/admin/ledger/checks/{audit_id}")
        if audit["progress"]:
            bar.news(audit["progress"])
        if audit["state"] != "running":
            return audit
        time.sleep(POLL_S)


def _verdict(line: dict[str, Any], uncompared: Collection[str]) -> str:
    why = line.get("skipped")
    left_out = "left out (--quick)" if why == "not asked for" else f"not asked: {why}"
    verdict = "ok" if line["ok"] else f"NOT COMPARED: {why}" if line["name"] in uncompared else left_out
    if line["ok"] is False:
        verdict = f"VIOLATED by {line['violations']}, such as {line['first'][:1]}"
    return f"{line['name']:<4} {line['rule']}: {verdict}"


def _say_report(terminal: Terminal, report: dict[str, Any]) -> None:
    counts = report["counts"]
    terminal.say(
        f"{counts['completions']} completions priced anew, {counts['ledger_events']} events of the ledger read; "
        f"{counts['buckets']} buckets, {counts['windows']} windows and {counts['transactions']} transactions compared"
    )
    terminal.say(f"{counts['repeats']} repeated records absorbed, {counts['forged']} events with several payloads flagged")
    for kind, part in report["findings"].items():
        terminal.say(f"{kind}: {part['rule']} ({part['count']})", style="red")
        for what in part["first"][:SHOWN]:
            terminal.say(f"  {what}")
    for name, part in report["differences"].items():
        _say_differences(terminal, name, part)


def _say_differences(terminal: Terminal, name: str, part: dict[str, Any]) -> None:
    if not part["count"]:
        terminal.say(f"{name}: every one the same to the last unit")
        return
    terminal.say(f"{name}: {part['count']} differ", style="red")
    rows = part["first"][:SHOWN]
    columns = [column for column in rows[0] if column not in {"rebuilt", "ledger"}]
    terminal.table(
        (*columns, "rebuilt", "ledger", "difference"),
        [(*(row[column] for column in columns), row["rebuilt"], row["ledger"], row["ledger"] - row["rebuilt"]) for row in rows],
    )
