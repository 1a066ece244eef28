"""Which currency a bucket is in, so that an amount in another one is refused before anything is posted."""

from services.console.service_client import ServiceClient
from services.console.spoken import SpokenError, amount, currency_in, signed_amount


def currencies(settlement: ServiceClient, account_id: str) -> dict[str, str]:
    """The currency of each bucket that the account has."""
    return {row["bucket"]: row["currency"] for row in settlement.get(f"/admin/accounts/{account_id}/balances")["data"]}


def spoken_amount(settlement: ServiceClient, account_id: str, bucket: str, text: str, *, signed: bool = False) -> str:
    """The exact amount; where the text names a currency it has to be the bucket's."""
    said = currency_in(text.strip().removeprefix("-"))
    own = currencies(settlement, account_id).get(bucket) if said else None
    if said and own is None:
        raise SpokenError(
            f"{account_id} has no bucket {bucket} yet whose currency {text!r} could be held to: write the amount alone"
        )
    return signed_amount(text, own) if signed else amount(text, own)


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
