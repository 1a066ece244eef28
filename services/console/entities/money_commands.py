"""`tollbook money …`: what an operator does to balances beside payments. Each is posted once, under its key, for ever."""

from typing import Annotated, Any

import typer

from schemas.envelope import now
from services.console.entities.buckets import spoken_amount
from services.console.entities.creating import post_money
from services.console.entities.naming import account_of
from services.console.entities.options import Account, Amount, Bucket, IdempotencyKey
from services.console.entities.topup_commands import readable
from services.console.session import Author, Json, Session, Yes, confirm, session_of
from services.console.spoken import amount as exact_amount
from services.console.spoken import instant, window

app = typer.Typer(
    help="Money beside requests: refunds, adjustments, promotions, chargebacks, cost centres.", no_args_is_help=True
)
Because = Annotated[str, typer.Option("--reason", help="Why, for the record and the statement.", show_default=False)]
Part = Annotated[str | None, typer.Option(help="A part of it; by default all that is left.", show_default=False)]
Provider = Annotated[str, typer.Option(help="Who took the payment.", show_default=False)]
Dispute = Annotated[str, typer.Option(help="The dispute's id there: it is posted once.", show_default=False)]


@app.command()
def refund(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The reply's x-request-id.", show_default=False)],
    *,
    reason: Because,
    account: Account = None,
    amount: Part = None,
    hold_id: Annotated[str | None, typer.Option(help="Which hold, where several were charged.", show_default=False)] = None,
    idempotency_key: IdempotencyKey = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Give back what a request was charged, or a part of it, to the balance that paid."""
    session = session_of(context)
    holder = _holder(session, account)
    part = None if amount is None else exact_amount(amount)
    confirm(f"Refund {part or 'all that is left'} of request {request_id} to {holder}?", yes=yes)
    body = {"account_id": holder, "request_id": request_id, "amount": part, "reason": reason, "author": author}
    _post(session, "/admin/refunds", body | ({"hold_id": hold_id} if hold_id else {}), idempotency_key, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def adjust(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help="Such as 5 or -5; a negative one takes.", show_default=False)],
    *,
    bucket: Bucket,
    reason: Because,
    account: Account = None,
    idempotency_key: IdempotencyKey = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Correct a balance by hand. It never takes more than is available."""
    session = session_of(context)
    holder = _holder(session, account)
    with session.connect("settlement") as settlement:
        exact = spoken_amount(settlement, holder, bucket, amount, signed=True)
    if exact.startswith("-"):
        confirm(f"Take {exact.removeprefix('-')} from {bucket} of {holder}?", yes=yes)
    body = {"account_id": holder, "bucket": bucket, "amount": exact, "reason": reason, "author": author}
    _post(session, "/admin/adjustments", body, idempotency_key, as_json=as_json)


@app.command()
def promote(
    context: typer.Context,
    amount: Amount,
    *,
    bucket: Bucket,
    expires: Annotated[str, typer.Option(help="When what is left is taken back: 30d, 2026-12-31, or an instant.")],
    reason: Because,
    account: Account = None,
    idempotency_key: IdempotencyKey = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Give credit that expires."""
    session = session_of(context)
    holder = _holder(session, account)
    with session.connect("settlement") as settlement:
        exact = spoken_amount(settlement, holder, bucket, amount)
    said = {"account_id": holder, "bucket": bucket, "amount": exact, "reason": reason, "author": author}
    body = {**said, "expires_at": instant(expires, now())}
    _post(session, "/admin/promotions", body, idempotency_key, asked={**said, "expires": expires}, as_json=as_json)


@app.command()
def chargeback(
    context: typer.Context,
    payment_id: Annotated[str, typer.Argument(metavar="PAYMENT_ID", show_default=False)],
    *,
    provider: Provider,
    dispute_id: Dispute,
    reason: Because,
    amount: Part = None,
    yes: Yes = False,
    author: Author,
    as_json: Json = False,
) -> None:
    """Take back a payment that its provider took back. What the balance lacks is owed, and opens a case."""
    session = session_of(context)
    part = None if amount is None else exact_amount(amount)
    confirm(f"Take {part or 'all that is left'} of payment {payment_id} back?", yes=yes)
    body = {"provider": provider, "payment_id": payment_id, "amount": part, "reason": reason, "author": author}
    _post(session, "/admin/chargebacks", body, dispute_id, key_field="dispute_id", as_json=as_json)


@app.command()
def reinstate(
    context: typer.Context,
    *,
    provider: Provider,
    dispute_id: Dispute,
    reason: Because,
    amount: Part = None,
    author: Author,
    as_json: Json = False,
) -> None:
    """Give again what a dispute took, when it is won."""
    session = session_of(context)
    part = None if amount is None else exact_amount(amount)
    body = {"provider": provider, "amount": part, "reason": reason, "author": author}
    _post(session, "/admin/reinstatements", body, dispute_id, key_field="dispute_id", as_json=as_json)


@app.command("cost-centre")
def cost_centre(
    context: typer.Context,
    limit: Annotated[str, typer.Argument(metavar="AMOUNT", help="The most per window.", show_default=False)],
    *,
    bucket: Bucket,
    account: Account = None,
    window_: Annotated[str, typer.Option("--window", "-w", help="total, day or month.")] = "month",
    author: Author,
    as_json: Json = False,
) -> None:
    """Let a limit fund a bucket in place of top-ups: for a department, say. Asked again, it sets the limit anew."""
    session = session_of(context)
    holder = _holder(session, account)
    body = {"account_id": holder, "bucket": bucket, "window": window(window_), "author": author}
    with session.connect("settlement") as settlement:
        done = settlement.post("/admin/cost-centres", {**body, "limit": exact_amount(limit)})
    _say(session, done, as_json=as_json)


def _holder(session: Session, account: str | None) -> str:
    with session.connect("edge") as edge:
        return account_of(session, edge, account)


def _post(
    session: Session,
    path: str,
    body: dict[str, Any],
    key: str | None,
    *,
    key_field: str = "key",
    asked: Any = None,
    as_json: bool,
) -> None:
    with session.connect("settlement") as settlement:
        done = post_money(session, settlement, path, body, key=key, key_field=key_field, asked=asked)
    _say(session, done, as_json=as_json)


def _say(session: Session, done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(done)
    else:
        session.terminal.facts(readable(done))
