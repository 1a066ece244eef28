"""`tollbook topups …` and `tollbook balances`: payments, and what they come to."""

from typing import Annotated, Any

import typer

from schemas.money import format_amount
from services.console.entities.buckets import spoken_amount
from services.console.entities.creating import post_money
from services.console.entities.instants import when
from services.console.entities.money import money, nano_of
from services.console.entities.naming import account_of
from services.console.entities.options import Account, Amount, Bucket, IdempotencyKey, Limit
from services.console.paging import listed
from services.console.session import Json, session_of

app = typer.Typer(help="Top-ups: payments that were taken.", no_args_is_help=True)


@app.command("add")
def add_topup(
    context: typer.Context,
    amount: Amount,
    *,
    bucket: Bucket,
    account: Account = None,
    provider: Annotated[str, typer.Option(help="Who took the payment.")] = "manual",
    payment_id: Annotated[
        str | None,
        typer.Option(help="The payment's id there: one payment is posted once. By default a new one.", show_default=False),
    ] = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Post a payment to a balance."""
    session = session_of(context)
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
    with session.connect("settlement") as settlement:
        exact = spoken_amount(settlement, holder, bucket, amount)
        body = {"account_id": holder, "bucket": bucket, "amount": exact, "provider": provider}
        done = post_money(session, settlement, "/admin/topups", body, key=payment_id or idempotency_key, key_field="payment_id")
    if as_json:
        session.terminal.json(done)
    else:
        session.terminal.facts(readable(done))


@app.command("list")
def list_topups(context: typer.Context, *, account: Account = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List payments, newest first, with what their provider took back and gave again."""
    session = session_of(context)
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
    with session.connect("settlement") as settlement:
        found = listed(settlement, f"/admin/accounts/{holder}/topups", limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("at", "amount", "bucket", "provider", "payment", "taken back", "given again"),
        [
            (
                when(row["at"]), nano_of(row, "amount"), row["bucket"], row["provider"], row["payment_id"],
                nano_of(row, "taken_back") if row["taken_back_nano"] else None,
                nano_of(row, "reinstated") if row["reinstated_nano"] else None,
            )
            for row in found["data"]
        ],
    )  # fmt: skip


def balances(context: typer.Context, *, account: Account = None, as_json: Json = False) -> None:
    """Show what an account has in each bucket: posted, held, available, set aside for runs, expiring, owed."""
    session = session_of(context)
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
    with session.connect("settlement") as settlement:
        found = settlement.get(f"/admin/accounts/{holder}/balances")
    if as_json:
        session.terminal.json({"object": "list", "account_id": holder, **found})
        return
    if not found["data"]:
        session.terminal.say(f"{holder} has no balance yet: `tollbook topups add AMOUNT --bucket BUCKET` makes one")
        return
    session.terminal.table(
        ("bucket", "currency", "posted", "held", "available", "in runs", "expiring", "owed", "paid by"),
        [_balance(row) for row in found["data"]],
    )


def readable(done: dict[str, Any]) -> dict[str, Any]:
    """An answer about money for people: every amount once, as text with its currency."""
    return _readable(done, done.get("currency"))


def _readable(done: dict[str, Any], currency: str | None) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in done.items():
        if isinstance(value, dict):
            shown[name] = _readable(value, currency)
        elif name.endswith("_nano"):
            shown[name.removesuffix("_nano")] = money(value, currency) if isinstance(value, int) else value
        elif f"{name}_nano" not in done and name != "object":
            shown[name] = value
    return shown


def _balance(row: dict[str, Any]) -> tuple[Any, ...]:
    amounts = [
        format_amount(row[f"{name}_nano"]) for name in ("posted", "held", "available", "earmarked", "promotional", "overrun")
    ]
    return (row["bucket"], row["currency"], *amounts, "top-ups" if row["funding"] == "prepaid" else "its limit")
