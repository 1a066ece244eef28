"""`tollbook usage month`: what a month's requests were charged, from the ledger's own statement."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from services.console.entities.money import money
from services.console.entities.options import Account, MaybeBucket
from services.console.entities.statement_commands import Month, statement_of
from services.console.session import Json, session_of
from services.console.spoken import SpokenError

BY = {"key": "key_id", "project": "project_id", "model": "model", "day": "date", "run": "run_id", "route": "route_type"}
CHARGES = ("charge", "charge_of_lost_request")


def month(
    context: typer.Context,
    month: Month = None,
    *,
    by: Annotated[str, typer.Option(help="key, project, model, day, run or route; several separated by commas.")] = "model",
    account: Account = None,
    bucket: MaybeBucket = None,
    as_json: Json = False,
) -> None:
    """Sum up what a month's requests were charged, by key, project, model, day, run or route: exact, from the ledger.

    It counts requests that were charged. Money that runs set aside counts when a request of the run uses it.
    """
    fields = [each.strip() for each in by.split(",")]
    if not set(fields) <= set(BY):
        raise SpokenError(f"--by {by!r}: write one or more of {', '.join(BY)}, separated by commas")
    session = session_of(context)
    statement = json.loads(statement_of(session, account, month, bucket, "json"))
    found = summed(statement, fields)
    if as_json:
        head = {name: statement[name] for name in ("account_id", "month", "from", "until", "complete", "generated_at")}
        session.terminal.json({"object": "usage", **head, "by": fields, "data": found})
        return
    session.terminal.table(
        (*fields, "bucket", "requests", "charged"),
        [
            (
                *(_named(row, field) for field in fields),
                row["bucket"],
                row["requests"],
                money(row["charged_nano"], row["currency"]),
            )
            for row in found
        ],
    )


def summed(statement: dict[str, Any], fields: list[str]) -> list[dict[str, Any]]:
    """The charges of a statement, summed by some of their fields and the bucket. Currencies are never added."""
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for bucket, line in _charges(statement):
        key = (*(line[BY[field]] for field in fields), bucket["bucket"])
        row = sums.setdefault(
            key,
            {
                **{BY[field]: line[BY[field]] for field in fields},
                **({"key_name": line["key_name"]} if "key" in fields else {}),
                "bucket": bucket["bucket"], "currency": bucket["currency"], "requests": 0, "charged_nano": 0,
            },
        )  # fmt: skip
        row["requests"] += line["requests"]
        row["charged_nano"] += line["owed_nano"] - line["amount_nano"]
    return [sums[key] for key in sorted(sums)]


def _charges(statement: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for bucket in statement["buckets"]:
        for line in (*bucket["lines"], *bucket["in_runs"]):
            if line["kind"] in CHARGES:
                yield bucket, line


def _named(row: dict[str, Any], field: str) -> str:
    said = str(row[BY[field]])
    return f"{said} ({row['key_name']})" if field == "key" and row.get("key_name") else said
