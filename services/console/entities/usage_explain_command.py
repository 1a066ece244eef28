"""`tollbook usage explain`: why cost changed, in effects that add up to the change."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from services.console.entities.options import Account, ApiKey, KeyOption, MaybeBucket, Project
from services.console.entities.usage_reading import UsageReader, usage_reader
from services.console.errors import UnreachableError
from services.console.session import Json, session_of
from services.console.spoken import SpokenError
from services.console.terminal import Terminal

COLUMNS = ("effect", "change", "most of all")


def explain(
    context: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option("--from", help="A date (its midnight in --timezone) or an instant; by default seven days before --to."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Likewise, not included; by default now.")] = None,
    against_since: Annotated[
        str | None, typer.Option("--against-from", help="What it is compared with; by default as long a span right before.")
    ] = None,
    against_until: Annotated[str | None, typer.Option("--against-to", help="Likewise, not included.")] = None,
    timezone: Annotated[str, typer.Option(help="In which days begin, such as Europe/Berlin.")] = "UTC",
    account: Account = None,
    project: Project = None,
    key: KeyOption = None,
    run: Annotated[str | None, typer.Option(help="By id.")] = None,
    model: Annotated[str | None, typer.Option(help="As it was asked for.")] = None,
    upstream_model: Annotated[str | None, typer.Option(help="That answered.")] = None,
    route_type: Annotated[str | None, typer.Option(help="direct, pooled or subscription.")] = None,
    channel: Annotated[str | None, typer.Option(help="For operators.")] = None,
    bucket: MaybeBucket = None,
    tag: Annotated[list[str] | None, typer.Option(help="A name or name=value; may be repeated: all of them.")] = None,
    all_accounts: Annotated[bool, typer.Option("--all-accounts", help="Of every account that you may see.")] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Say why cost is another than in the week before: volume, sizes, mix, prices, fallbacks, retries.

    The effects add up to the change, to the nano; each currency is explained by itself. Who is asked is as in `usage report`.
    """
    if account and all_accounts:
        raise SpokenError("--account is one account and --all-accounts is every one: give one of them")
    session = session_of(context)
    spans = {"from": since, "to": until, "against_from": against_since, "against_to": against_until, "timezone": timezone}
    query = {
        **spans,
        "run_id": run,
        "model": model,
        "upstream_model": upstream_model,
        "route_type": route_type,
        "channel": channel,
        "bucket": bucket,
        "tag": tag,
    }
    named = {"project_id": project, "key_id": key}
    with usage_reader(session, api_key, account, everyone=all_accounts, named=named) as usage:
        found = _explanation(usage, query)
    if as_json:
        session.terminal.json(found)
    else:
        _tell(session.terminal, found)


def _explanation(usage: UsageReader, query: Mapping[str, Any]) -> Mapping[str, Any]:
    found = usage.client.get(f"{usage.path}/explain", **usage.always, **query)
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise UnreachableError(f"what answers at {usage.client.where} explained nothing", "see that the URL is right")
    return found


def _tell(terminal: Terminal, found: Mapping[str, Any]) -> None:
    terminal.say(f"{found['from']} to {found['to']}, against {found['against_from']} to {found['against_to']}", style="dim")
    if not found["data"]:
        terminal.say("Nothing was charged in either.")
    for block in found["data"]:
        terminal.say("")
        terminal.say(block["summary"])
        terminal.table(COLUMNS, list(rows(block)))
        for line in (*(each["sentence"] for each in block["effects"] if each["change_nano"]), *block["notes"]):
            terminal.say(f"- {line}")


def rows(block: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The effects that there are and, as they add up to it, the change."""
    for each in block["effects"]:
        if each["change_nano"]:
            yield each["effect"].replace("_", " "), each["change"], ", ".join(_most(each["contributors"]))
    yield "change", block["change"], ""


def _most(contributors: list[Mapping[str, Any]]) -> Iterator[str]:
    """The first of each kind."""
    seen = set[str]()
    for each in contributors:
        if each["by"] not in seen:
            seen.add(each["by"])
            yield f"{each['by']} {each['name'] or each['id']} {each['change']}"
