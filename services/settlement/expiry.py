"""What becomes of a hold whose request never completed: charged for what was seen, the rest listed for a person. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.envelope import new_id
from schemas.money import Usage, charge_nano, format_amount
from services.settlement.pricebook import PriceBook
from services.settlement.settling import CaseDraft, HoldRow

CASE_KIND = "expired_hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """One hold's end by time."""

    hold: HoldRow
    charge_nano: int
    exposure_nano: int
    case: CaseDraft
    txn_id: UUID = field(default_factory=new_id)


def expire(hold: HoldRow, *, progress_input: int, progress_output: int, candidates: Sequence[Any], book: PriceBook) -> Expiry:
    """Charge the last recorded progress at the cheapest price that the hold's candidates have, and at most the hold.

    Which candidate was being asked is not known, so that the customer gets the benefit of the doubt. A candidate of another
    bucket was not paid by this hold, and its price is in another currency: it does not count.
    """
    usage = Usage(input_tokens=progress_input, output_tokens=progress_output)
    paid = [(route_type, model) for _, route_type, model in candidates if _pays(book, hold, route_type)]
    prices = [book.prices.get(each) for each in paid]
    costs = [charge_nano(price, usage) for price in prices if price is not None]
    charge = min(min(costs, default=0), hold.amount_nano)
    exposure = hold.amount_nano - charge
    detail = (
        f"the request did not complete in time: {format_amount(charge)} {hold.currency} charged for {progress_output} tokens "
        f"seen by the client, up to {format_amount(exposure)} {hold.currency} may have been used beyond that"
    )
    case = CaseDraft(
        kind=CASE_KIND,
        detail=detail,
        holder=hold.holder,
        request_id=hold.request_id,
        hold_id=hold.id,
        currency=hold.currency,
        exposure_nano=exposure,
    )
    return Expiry(hold=hold, charge_nano=charge, exposure_nano=exposure, case=case)


def _pays(book: PriceBook, hold: HoldRow, route_type: str) -> bool:
    """Whether the hold's bucket pays for the route type."""
    bucket = book.buckets.get(route_type)
    return bucket is not None and bucket.id == hold.bucket
