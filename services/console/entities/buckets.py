"""Which currency a bucket is in, so that an amount in another one is refused before anything is posted."""

from services.console.errors import RefusedError
from services.console.service_client import ServiceClient
from services.console.spoken import SpokenError, amount, currency_in, signed_amount


def currencies(settlement: ServiceClient, account_id: str) -> dict[str, str]:
    """The currency of each bucket that the account has."""
    return {row["bucket"]: row["currency"] for row in settlement.get(f"/admin/accounts/{account_id}/balances")["data"]}


def spoken_amount(settlement: ServiceClient, account_id: str, bucket: str, text: str, *, signed: bool = False) -> str:
    """The exact amount; where the text names a currency it has to be the bucket's."""
    said = currency_in(text.strip().removeprefix("-"))
    own = (currencies(settlement, account_id).get(bucket) or _priced_currency(settlement, bucket)) if said else None
    if said and own is None:
        raise SpokenError(
            f"neither {account_id} nor a price book knows the currency of {bucket} to hold {text!r} to: write the amount alone"
        )
    return signed_amount(text, own) if signed else amount(text, own)


def _priced_currency(settlement: ServiceClient, bucket: str) -> str | None:
    """The currency that the price book in force gives a bucket; None where there is none, or it may not be read."""
    try:
        book = settlement.get("/admin/price-books/current")["book"]
    except RefusedError:
        return None
    return next((each["currency"] for each in book["buckets"] if each["id"] == bucket), None)


def currency_of(settlement: ServiceClient, account_id: str, bucket: str | None, text: str, given: str | None) -> str:
    """The currency of a budget: the given one, that of the text, the bucket's, or the only one of the account."""
    said = given or currency_in(text)
    if said:
        return said
    known = currencies(settlement, account_id)
    if bucket is not None and bucket in known:
        return known[bucket]
    several = set(known.values())
    if bucket is None and len(several) == 1:
        return several.pop()
    raise SpokenError(f"in which currency? Write it with the amount, such as '{text} USD', or give --currency")
