"""An amount's currency is the bucket's: the account's own, or before the first payment the price book's."""

import httpx
import pytest

from services.console.addresses import Address
from services.console.entities.buckets import spoken_amount
from services.console.service_client import ServiceClient
from services.console.spoken import SpokenError

BOOK = {"buckets": [{"id": "credit", "currency": "USD", "route_types": ["direct"]}]}


def settlement(status: int = 200) -> ServiceClient:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/admin/price-books/current":
            error = {"message": "no", "type": "x", "param": None, "code": "x"}
            return httpx.Response(status, json={"book": BOOK} if status == 200 else {"error": error})
        return httpx.Response(200, json={"data": []})

    return ServiceClient("settlement", Address(url="http://x", token="t"), httpx.MockTransport(answer))


def test_the_first_payment_of_a_bucket_is_held_to_the_price_books_currency() -> None:
    assert spoken_amount(settlement(), "acme", "credit", "5 USD") == "5.00"
    with pytest.raises(SpokenError, match="not in USD"):
        spoken_amount(settlement(), "acme", "credit", "5 EUR")


@pytest.mark.parametrize(("bucket", "status"), [("savings", 200), ("credit", 403), ("credit", 503)])
def test_a_currency_that_nothing_can_be_held_to_is_refused(bucket: str, status: int) -> None:
    with pytest.raises(SpokenError, match="write the amount alone"):
        spoken_amount(settlement(status), "acme", bucket, "5 USD")
