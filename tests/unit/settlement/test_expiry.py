"""What a hold that ran out of time is charged, and what of it is listed for a person."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.settlement.expiry import CASE_KIND, expire
from services.settlement.settling import HoldRow
from tests.integration.settlement.requests_made import hold_for
from tests.unit.settlement.test_settling import BOOK, row_of

DIRECT, POOLED, UNKNOWN = ["main", "direct", "gpt-4o"], ["pool", "pooled", "gpt-4o"], ["main", "direct", "none"]


def held() -> HoldRow:
    """An open hold of 2,250,000 nano."""
    return row_of(hold_for("a"))


@pytest.mark.parametrize(
    ("candidates", "charge"),
    [([DIRECT], 650_000), ([POOLED, DIRECT], 650_000), ([UNKNOWN, DIRECT], 650_000), ([UNKNOWN], 0), ([], 0)],
)
def test_the_progress_is_charged_at_the_cheapest_known_price(candidates: list[list[str]], charge: int) -> None:
    expiry = expire(held(), progress_input=100, progress_output=40, candidates=candidates, book=BOOK)
    assert (expiry.charge_nano, expiry.exposure_nano) == (charge, 2_250_000 - charge)


@pytest.mark.parametrize(
    ("candidates", "charge"), [([POOLED, DIRECT], 3_575_000), ([DIRECT, POOLED], 3_575_000), ([DIRECT], 0)]
)
def test_a_price_of_another_bucket_is_none(candidates: list[list[str]], charge: int) -> None:
    hold = replace(held(), bucket="wallet", currency="CNY", amount_nano=10_000_000)
    expiry = expire(hold, progress_input=100, progress_output=40, candidates=candidates, book=BOOK)
    assert (expiry.charge_nano, expiry.exposure_nano) == (charge, 10_000_000 - charge)


def test_no_more_than_the_hold_is_charged() -> None:
    expiry = expire(held(), progress_input=0, progress_output=10**6, candidates=[DIRECT], book=BOOK)
    assert (expiry.charge_nano, expiry.exposure_nano) == (2_250_000, 0)


def test_the_case_says_what_was_charged_and_what_may_have_been_used() -> None:
    hold = held()
    expiry = expire(hold, progress_input=100, progress_output=40, candidates=[DIRECT], book=BOOK)
    case = expiry.case
    assert expiry.hold is hold
    assert (case.kind, case.holder, case.request_id, case.hold_id) == (CASE_KIND, "a", hold.request_id, hold.id)
    assert (case.currency, case.exposure_nano) == ("USD", 1_600_000)
    assert case.detail == (
        "the request did not complete in time: 0.00065 USD charged for 40 tokens seen by the client, "
        "up to 0.0016 USD may have been used beyond that"
    )


def test_every_expiry_is_a_transaction_of_its_own() -> None:
    made = [expire(held(), progress_input=0, progress_output=0, candidates=[], book=BOOK) for _ in range(2)]
    assert isinstance(made[0].txn_id, UUID)
    assert made[0].txn_id != made[1].txn_id
