"""`tollbook requests …`: what was asked, and the receipt of each."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.money import nano_of
from services.console.entities.naming import ACCOUNT, KEY, PROJECT, account_of, id_of, known_id_of, path_of
from services.console.entities.options import Account, ApiKey, KeyOption, Limit, Project
from services.console.entities.reading import reader
from services.console.errors import RefusedError
from services.console.paging import listed
from services.console.service_client import ServiceClient
from services.console.session import Json, Session, session_of
from services.console.spoken import SpokenError, instant

app = typer.Typer(help="Requests and their receipts.", no_args_is_help=True)
PAGE = 2000
NOT_ALLOWED = "role_not_allowed"
OF_ACCOUNT = ("request", "began", "key", "model", "answered by", "state", "outcome", "attempts", "tokens", "charged")
COLUMNS = ("request", "account", "began", "answered by", "outcome", "attempts", "tokens", "latency")


@app.command("list")
def list_requests(
    context: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            help="An hour ago (1h), a date, or an instant. By default all of an account, else an hour.", show_default=False
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    account: Account = None,
    project: Project = None,
    key: KeyOption = None,
    run: Annotated[str | None, typer.Option(help="By id.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="As it was asked for.", show_default=False)] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, settled, released, expired or refused.", show_default=False)
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="succeeded, failed or cancelled.", show_default=False)] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Only attempts there, of all accounts; may be repeated.", show_default=False)
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List an account's requests, the newest first, with what each was charged; `tollbook tail` shows them as they end.

    Without an account, whoever may read the ledger sees the attempts of settled requests of every account, as the ledger has
    them.
    """
    session = session_of(context)
    asked = _times(since, until)
    filters = {"project": project, "key": key, "run_id": run, "model": model, "state": state, "outcome": outcome}
    named = account or session.account() or any(filters.values())
    if channel and any(filters.values()):
        raise SpokenError("--channel is for the attempts of all accounts: leave the other filters out, or --channel")
    if channel or not named:
        try:
            _list_attempts(session, asked, channel or [], account, limit, as_json=as_json)
        except RefusedError as error:
            if channel or error.code != NOT_ALLOWED:
                raise
        else:
            return
    _list_of_account(session, account, asked, filters, limit, as_json=as_json)


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


def _times(since: str | None, until: str | None) -> dict[str, str | None]:
    found = {"since": since, "until": until}
    return {name: instant(text, now(), past=True) if text else None for name, text in found.items()}


def _list_of_account(
    session: Session,
    account: str | None,
    asked: dict[str, str | None],
    filters: dict[str, str | None],
    limit: int,
    *,
    as_json: bool,
) -> None:
    project, key = filters.pop("project"), filters.pop("key")
    with session.connect("edge") as edge:
        holder = known_id_of(edge, ACCOUNT, account) if account else account_of(session, edge, None)
        ids = {
            "project_id": id_of(edge, PROJECT, project, account_id=holder) if project else None,
            "key_id": id_of(edge, KEY, key, account_id=holder) if key else None,
        }
    with session.connect("settlement") as settlement:
        found = listed(settlement, path_of(ACCOUNT, holder, "requests"), limit, **asked, **filters, **ids)
    if as_json:
        session.terminal.json(found)
    else:
        session.terminal.table(OF_ACCOUNT, map(_short, found["data"]))


def _list_attempts(
    session: Session,
    asked: dict[str, str | None],
    channels: list[str],
    account: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    bounds = {"since": asked["since"] or instant("1h", now(), past=True), "until": asked["until"] or instant("1m", now())}
    if account is not None:
        with session.connect("edge") as edge:
            account = known_id_of(edge, ACCOUNT, account)
    with session.connect("settlement") as settlement:
        found = _requests(settlement, bounds, channels, account)[:limit]
    if as_json:
        attempts = [attempt for request in found for attempt in request]
        session.terminal.json({"object": "list", "data": attempts, "next_after": None})
    else:
        session.terminal.table(COLUMNS, map(_row, found))


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


def _short(row: dict[str, Any]) -> tuple[Any, ...]:
    charge = row["charge"] or {}
    outcome = row["refusal"] or row["error_class"] or row["outcome"]
    place = f"{row['channel']} ({row['upstream_model']})" if row["channel"] else None
    charged = nano_of(charge, "amount")
    back = f" ({nano_of(charge, 'refunded')} back)" if charge.get("refunded_nano") else ""
    return (
        row["request_id"], when(row["accepted_at"]), row["key_name"] or row["key_id"], row["requested_model"], place,
        row["state"], outcome, row["attempts"], _tokens(row["usage"]), f"{charged}{back}" if charged else None,
    )  # fmt: skip


def _tokens(usage: dict[str, int] | None) -> int | None:
    counted = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")
    return sum((usage or {}).get(name, 0) for name in counted) or None


def _row(attempts: list[dict[str, Any]]) -> tuple[Any, ...]:
    last = next((each for each in attempts if each["charged"]), attempts[-1])
    place, outcome = f"{last['channel']} ({last['upstream_model']})", last["error_class"] or last["outcome"]
    began, latency = when(attempts[0]["started_at"]), f"{last['latency_ms']} ms"
    return (last["request_id"], last["account_id"], began, place, outcome, len(attempts), _tokens(last["usage"]), latency)
