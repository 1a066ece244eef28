"""`tollbook alerts backtest`: what a rule file would have said of the past."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from schemas.envelope import now
from services.console.alert_rule_commands import PATH, content_of
from services.console.entities.instants import when
from services.console.session import Json, session_of
from services.console.spoken import instant

WITHIN = httpx.Timeout(600, connect=5)
COLUMNS = ("fired", "over", "rule", "of", "observed", "threshold", "usual", "unit", "would have")
NANO = 10**9


def backtest(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A rule file (YAML or JSON); `-` is standard input.")],
    *,
    since: Annotated[str, typer.Option("--from", help="7d, a date, or an instant; 31 days at most.")] = "7d",
    until: Annotated[str | None, typer.Option("--to", help="By default now.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Try a rule file on the past: prints what would have fired. Nothing changes, and nobody is told."""
    session = session_of(context)
    asked = {"from": instant(since, now(), past=True)} | ({"to": instant(until, now(), past=True)} if until else {})
    with session.connect("analytics") as analytics, session.terminal.working("trying the rules on the past", quiet=as_json):
        analytics.answer_within(WITHIN)
        found = analytics.send(f"{PATH}/backtest", content_of(file), "application/yaml", **asked)
    if as_json:
        session.terminal.json(found)
        return
    if found["alerts"]:
        session.terminal.table(COLUMNS, [_row(alert) for alert in found["alerts"]])
    for rule, count in found["fired"].items():
        session.terminal.say(f"{rule}: {count} would have fired")
    if found["truncated"]:
        session.terminal.say("Only the first are shown: choose a shorter time to see the rest.")


def _row(alert: dict[str, Any]) -> tuple[Any, ...]:
    values = [_amount(alert[name], alert["unit"]) for name in ("observed", "threshold", "baseline")]
    over = "not yet" if alert["ended_at"] is None else when(alert["ended_at"])
    told = alert["severity"] if alert["action"] == "none" else f"{alert['severity']}, {alert['action']}"
    of = f"{alert['subject_kind']} {alert['subject_id']}"
    return (when(alert["fired_at"]), over, alert["rule"], of, *values, alert["unit"].removeprefix("nano "), told)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit.startswith("nano "):
        return f"{value / NANO:,.2f}"
    return f"{value:.0%}" if unit == "share" else f"{value:,.0f}"
