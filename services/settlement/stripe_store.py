"""Posts what Stripe says. An event may come twice, late, or before the payment that it is about: the books end up the same."""

import re
from collections.abc import Callable
from typing import Literal
from uuid import UUID, uuid5

from pydantic import ValidationError

from schemas.money import format_amount
from services.settlement import chargeback_store, metrics, topup_store
from services.settlement.case_opening import open_once
from services.settlement.chargebacks import Chargeback, Payment, Reinstatement
from services.settlement.correction_store import CaseTerms, Connection
from services.settlement.errors import ApiError, ConflictError, InvalidError, UnavailableError
from services.settlement.minor_units import nano_of
from services.settlement.money_in import TopUp
from services.settlement.pricebook import PriceBook
from services.settlement.settling import CaseDraft
from services.settlement.statements import statements
from services.settlement.stripe_events import PROVIDER, Disputed, Paid, Returned, Unusable, read_event

CASES = UUID("7a3c1f0e-50d4-5c0e-8d5b-2f6c9a1e4b77")
"""Namespace of the ids of cases about payments: the same trouble opens one case."""
UNKNOWN_HOLDER = "unknown"
EDGE_ACCOUNT = re.compile(r"acc_[0-9A-Za-z]{16}")
"""How edge mints ids of accounts: long enough that nobody writes one by mistake."""
RefusalOf = Callable[[str], ApiError | None]
"""Why nothing may be done for an account: see :meth:`Entities.account_refusal`."""
Outcome = Literal["posted", "repeated", "waiting", "case", "ignored"]


def take_event(
    connection: Connection, body: bytes, book: PriceBook, terms: CaseTerms, refusal_of: RefusalOf | None = None
) -> Outcome:
    """Post the event. Raises BadInputError for what is no event, UnavailableError where it should be sent again.

    `refusal_of` says why nothing is posted for an account; without it the form of its id, or a bucket that it has, decides.
    """
    event_id, _, fact = read_event(body)
    if isinstance(fact, Paid):
        outcome = _posted(connection, fact, book, terms, refusal_of)
        _take_waiting(connection, fact.payment_id, terms)
    else:
        outcome = "ignored" if fact is None else _take(connection, event_id, body, fact, terms)
    metrics.PROVIDER_EVENTS.labels(PROVIDER, outcome).inc()
    return outcome


def _take(
    connection: Connection, event_id: str, body: bytes, fact: Returned | Disputed | Unusable, terms: CaseTerms
) -> Outcome:
    if isinstance(fact, Unusable):
        return _unusable(connection, fact, terms)
    if chargeback_store.payment(connection, PROVIDER, fact.payment_id) is None:
        notice = {"provider": PROVIDER, "event_id": event_id, "payment_id": fact.payment_id, "payload": body.decode()}
        connection.execute(statements("money.sql")["keep_notice"], notice)
        if chargeback_store.payment(connection, PROVIDER, fact.payment_id) is None:
            return "waiting"
        _take_waiting(connection, fact.payment_id, terms)
        return "posted"
    return _taken_back(connection, fact, terms)


def _posted(connection: Connection, fact: Paid, book: PriceBook, terms: CaseTerms, refusal_of: RefusalOf | None) -> Outcome:
    """A payment into its bucket. What cannot be posted is never converted or guessed: it becomes a case."""
    try:
        asked = _top_up_of(fact, book)
        if (why := _no_account(connection, fact, refusal_of)) is not None:
            _open_case(connection, "unknown_account", fact, UNKNOWN_HOLDER, why, terms)
            return "case"
        _, new = topup_store.top_up(connection, asked, book)
    except (InvalidError, ConflictError, ValidationError) as error:
        why = error.message if isinstance(error, ApiError) else "its metadata cannot be used"
        _open_case(connection, "unposted_payment", fact, fact.account_id[:128] or UNKNOWN_HOLDER, why, terms)
        return "case"
    return "posted" if new else "repeated"


def _no_account(connection: Connection, fact: Paid, refusal_of: RefusalOf | None) -> str | None:
    """Why the payment is for no account, None where it is. Raises UnavailableError where nobody can tell: it comes again.

    Without edge to ask, an account that has a bucket is one, and one whose id is of edge's form: a new customer's first
    payment arrives before all else.
    """
    posted = chargeback_store.payment(connection, PROVIDER, fact.payment_id)
    if posted is not None and posted.account_id == fact.account_id:
        return None  # the stored answer counts
    if refusal_of is not None:
        refusal = refusal_of(fact.account_id)
        if refusal is None:
            return None
        if isinstance(refusal, UnavailableError):
            raise refusal
        return f"there is no account {fact.account_id!r}: post it by hand to the account that it is for"
    known = statements("money.sql")["known_holder"]
    if EDGE_ACCOUNT.fullmatch(fact.account_id) or connection.execute(known, {"holder": fact.account_id}).fetchone():
        return None
    return f"settlement knows no account {fact.account_id!r}, and edge makes no such ids"


def _unusable(connection: Connection, fact: Unusable, terms: CaseTerms) -> Outcome:
    """A case for what has no usable name; nothing is kept, so that later events do not meet it."""
    kind = "unposted_payment" if fact.is_payment else "unposted_chargeback"
    detail = f"what {PROVIDER} event {fact.about} says was not posted: {fact.why}"
    case = CaseDraft(id=uuid5(CASES, f"unusable/{fact.about}"), kind=kind, detail=detail, holder=UNKNOWN_HOLDER)
    open_once(connection, case, terms)
    return "case"


def _top_up_of(fact: Paid, book: PriceBook) -> TopUp:
    """The payment as a top-up. Raises InvalidError or pydantic's ValidationError where it fits no bucket."""
    bucket = book.bucket_named(fact.bucket)
    if bucket is None:
        raise InvalidError(f"there is no bucket {fact.bucket!r}", code="unknown_bucket")
    if bucket.currency != fact.currency:
        raise InvalidError(f"bucket {bucket.id} is in {bucket.currency}", code="wrong_currency")
    return TopUp(
        account_id=fact.account_id,
        bucket=fact.bucket,
        amount=format_amount(nano_of(fact.amount_minor, fact.currency)),
        provider=PROVIDER,
        payment_id=fact.payment_id,
    )


def _taken_back(connection: Connection, fact: Returned | Disputed, terms: CaseTerms) -> Outcome:
    """What goes back of a payment that is posted, or comes again."""
    found = chargeback_store.payment(connection, PROVIDER, fact.payment_id)
    assert found is not None, "a payment is never removed"
    try:
        return _moved(connection, fact, found, terms)
    except ConflictError as error:
        if error.code == "already_returned":
            return "repeated"
        _open_case(connection, "unposted_chargeback", fact, found.account_id, error.message, terms)
        return "case"
    except (InvalidError, ValidationError) as error:
        why = error.message if isinstance(error, ApiError) else "its names are too long to be kept"
        _open_case(connection, "unposted_chargeback", fact, found.account_id, why, terms)
        return "case"


def _moved(connection: Connection, fact: Returned | Disputed, found: Payment, terms: CaseTerms) -> Outcome:
    nano = _nano_in(found.currency, fact)
    reason = "paid back at the payment provider" if isinstance(fact, Returned) else fact.reason
    taken = Chargeback(
        provider=PROVIDER,
        payment_id=fact.payment_id,
        dispute_id=fact.dispute_id,
        amount=format_amount(nano),
        reason=reason,
        author=PROVIDER,
    )
    if isinstance(fact, Returned):
        _, new = chargeback_store.take_returned(connection, taken, nano, terms)
        return "posted" if new else "repeated"
    # A dispute that is said to be won may be heard of first: then both are posted, and its beginning is a repeat.
    _, new = chargeback_store.charge_back(connection, taken, terms)
    if fact.won:
        won = Reinstatement(
            provider=PROVIDER,
            dispute_id=fact.dispute_id,
            amount=format_amount(nano),
            reason="the dispute was won",
            author=PROVIDER,
        )
        _, new = chargeback_store.reinstate(connection, won)
    return "posted" if new else "repeated"


def _nano_in(currency: str, fact: Returned | Disputed) -> int:
    """The amount in the payment's currency. Raises InvalidError for another one."""
    if fact.currency != currency:
        raise InvalidError(f"the payment was in {currency}", code="wrong_currency")
    return nano_of(fact.total_minor if isinstance(fact, Returned) else fact.amount_minor, currency)


def _take_waiting(connection: Connection, payment_id: str, terms: CaseTerms) -> None:
    """Post what was said of the payment before it was known."""
    sql = statements("money.sql")
    asked = {"provider": PROVIDER, "payment_id": payment_id}
    if chargeback_store.payment(connection, PROVIDER, payment_id) is None:
        return
    for event_id, payload in connection.execute(sql["notices"], asked).fetchall():
        _, _, fact = read_event(payload.encode())
        if isinstance(fact, Unusable):  # kept by an earlier version, which looked at names only when it posted
            _unusable(connection, fact, terms)
        else:
            assert isinstance(fact, Returned | Disputed), "only those wait"
            _taken_back(connection, fact, terms)
        connection.execute(sql["drop_notice"], {"provider": PROVIDER, "event_id": event_id})


def _open_case(  # noqa: PLR0917 - what a case consists of
    connection: Connection, kind: str, fact: Paid | Returned | Disputed, holder: str, why: str, terms: CaseTerms
) -> None:
    """One case for the same trouble, however often the event comes."""
    minor = fact.total_minor if isinstance(fact, Returned) else fact.amount_minor
    detail = f"{PROVIDER} payment {fact.payment_id}, {minor} in the smallest unit of {fact.currency}, was not posted: {why}"
    case = CaseDraft(
        id=uuid5(CASES, f"{kind}/{fact.payment_id}/{type(fact).__name__}/{minor}"),
        kind=kind,
        detail=detail,
        holder=holder,
        currency=fact.currency,
    )
    open_once(connection, case, terms)
