"""`tollbook usage …`: who used what and what it cost, for any time and by whatever one asks for."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.console.entities import usage_explain_command, usage_month_command
from services.console.entities.options import Account, ApiKey, KeyOption, Limit, MaybeBucket, Project
from services.console.entities.usage_reading import UsageReader, usage_reader
from services.console.entities.usage_table import Table, table
from services.console.errors import BadFileError, ConsoleError, HintedError
from services.console.session import Json, Session, session_of
from services.console.spoken import SpokenError

PART = ".part"
Since = Annotated[
    str | None,
    typer.Option("--from", help="A date (its midnight in --timezone) or an instant; by default seven days before --to."),
]
By = Annotated[
    str,
    typer.Option(
        help="At most two of project, key, run, model, upstream_model, route_type, bucket, tag and tag:NAME, separated by"
        " commas; of every account also account, and for operators channel. `--by ''` sums everything."
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the CSV to this file: all of it, or no file at all.")
]


class MonthUnlessSaid(TyperGroup):
    """`tollbook usage 2026-11` and `tollbook usage --by key` mean `tollbook usage month …`, which came first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in where none of the commands is named."""
        said = args[0] if args else ""
        # A shell that completes what is typed has to see the commands themselves.
        named = ctx.resilient_parsing or said in self.commands or said in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["month", *args])


app = typer.Typer(
    cls=MonthUnlessSaid,
    help="Who used what, and what it cost: a month from the ledger, or a report of any time."
    "\n\nThe word `month` may be left out.",
)
app.command()(usage_month_command.month)
app.command()(usage_explain_command.explain)


@app.command()
def report(
    context: typer.Context,
    *,
    since: Since = None,
    until: Annotated[str | None, typer.Option("--to", help="Likewise, not included; by default now.")] = None,
    timezone: Annotated[str, typer.Option(help="In which days begin, such as Europe/Berlin.")] = "UTC",
    by: By = "model",
    interval: Annotated[str, typer.Option(help="none, day or hour.")] = "none",
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
    limit: Limit = 1000,
    api_key: ApiKey = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with every row, as it comes.")] = False,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Report requests, tokens and exact cost, by two dimensions at most and by day or hour.

    With an API key it is about the key's account; with --account or --all-accounts your token is asked with. Analytics
    answers: some seconds behind the ledger, which `tollbook usage month` reads.
    """
    if account and all_accounts:
        raise SpokenError("--account is one account and --all-accounts is every one: give one of them")
    if as_json and (as_csv or output):
        raise SpokenError("--json and --csv are two forms of the same: give one of them")
    session = session_of(context)
    query: dict[str, Any] = {
        "from": since,
        "to": until,
        "timezone": timezone,
        "by": by,
        "interval": interval,
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
        if as_csv or output:
            _csv(session, usage, query, output)
            return
        found = usage.page(query, limit)
    if as_json:
        session.terminal.json(found)
    else:
        _say(session, table(found))


def _say(session: Session, shown: Table) -> None:
    session.terminal.table(shown.columns, shown.rows)
    if shown.cut:
        session.terminal.progress("there are more rows: raise --limit, or take --csv")


def _csv(session: Session, usage: UsageReader, query: dict[str, Any], output: Path | None) -> None:
    """To standard output as it comes; to a file only once it is whole, under another name until then."""
    if output is None:
        sys.stdout.flush()
        for chunk in _uncut(usage, query):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(output.name + PART)
    try:
        with part.open("wb") as file:
            for chunk in _uncut(usage, query):
                file.write(chunk)
        part.replace(output)
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    session.terminal.progress(f"the report is in {output}")


def _uncut(usage: UsageReader, query: dict[str, Any]) -> Iterator[bytes]:
    """The chunks. Raises ConsoleError where they end before the report does."""
    begun = False
    try:
        for chunk in usage.csv(query):
            begun = True
            yield chunk
    except HintedError as error:
        if not begun:
            raise
        raise ConsoleError("the report was cut before its end, what came is not whole: ask again") from error
