"""`tollbook requests …`: what was asked, and the receipt of each."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT, known_id_of
from services.console.entities.options import Account, ApiKey, Limit
from services.console.entities.reading import reader
from services.console.service_client import ServiceClient
from services.console.session import Json, session_of
from services.console.spoken import instant

app = typer.Typer(help="Requests and their receipts.", no_args_is_help=True)
PAGE = 2000
COLUMNS = ("request", "account", "began", "answered by", "outcome", "attempts", "tokens", "latency")


@app.command("list")
def list_requests(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="An hour ago (1h), a date, or an instant.")] = "1h",
    until: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    account: Annotated[
        str | None, typer.Option("--account", "-a", help="Only this account's, by id or name.", show_default=False)
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only attempts there; may be repeated.", show_default=False)] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List settled requests of a time, the newest first, with their attempts; `tollbook tail` shows them as they end.

    `--json` gives every attempt, as the ledger keeps it.
    """
    session = session_of(context)
    asked = {
        "since": instant(since, now(), past=True),
        "until": instant(until, now(), past=True) if until else instant("1m", now()),
    }
    if account is not None:
        with session.connect("edge") as edge:
            account = known_id_of(edge, ACCOUNT, account)
    with session.connect("settlement") as settlement:
        found = _requests(settlement, asked, channel or [], account)[:limit]
    if as_json:
        attempts = [attempt for request in found for attempt in request]
        session.terminal.json({"object": "list", "data": attempts, "next_after": None})
        return
    session.terminal.table(COLUMNS, map(_row, found))


@app.command()
def show(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The reply's x-request-id.", show_default=False)],
    *,
    account: Account = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show a request's receipt: plan, attempts, fallbacks, the arithmetic of its charge, and why.

    With an API key of its account, or with --account by your token.
    """
    session = session_of(context)
    with reader(session, api_key, account) as found:
        path = f"{found.receipts}/{quote(request_id, safe='')}"
        if as_json:
            session.terminal.json(found.edge.get(path))
        else:
            session.terminal.say(found.edge.read(path, format="text").decode("utf-8").rstrip("\n"))


def _requests(
    settlement: ServiceClient, asked: dict[str, str], channels: list[str], account: str | None
) -> list[list[dict[str, Any]]]:
    """The attempts of each request, the newest request first. Ids are in the order of time."""
    found: dict[str, list[dict[str, Any]]] = {}
    after: str | None = None
    while True:
        page = settlement.get("/admin/attempts", **asked, channel=channels, after=after, limit=PAGE)
        for attempt in page["data"]:
            if account in {None, attempt["account_id"]}:
                found.setdefault(attempt["request_id"], []).append(attempt)
        after = page["next"]
        if after is None:
            return [found[request_id] for request_id in sorted(found, reverse=True)]


def _row(attempts: list[dict[str, Any]]) -> tuple[Any, ...]:
    last = next((each for each in attempts if each["charged"]), attempts[-1])
    usage = last["usage"] or {}
    tokens = sum(usage.get(name, 0) for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"))
    place, outcome = f"{last['channel']} ({last['upstream_model']})", last["error_class"] or last["outcome"]
    began, latency = when(attempts[0]["started_at"]), f"{last['latency_ms']} ms"
    return (last["request_id"], last["account_id"], began, place, outcome, len(attempts), tokens or None, latency)
