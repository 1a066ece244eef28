"""Payments and periods."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from services.settlement.money_in import LimitChange, TopUp, period_start

ASKED = {"account_id": "a", "bucket": "credit", "amount": "1.50", "provider": "bank", "payment_id": "p"}


def test_amounts_that_are_the_same_money_are_the_same_request() -> None:
    one, same = TopUp(**ASKED), TopUp(**{**ASKED, "amount": "1.5"})
    assert one.amount_nano == 1_500_000_000
    assert one.request_hash == same.request_hash
    for field in ("account_id", "bucket", "provider", "payment_id"):
        assert TopUp(**{**ASKED, field: "z"}).request_hash != one.request_hash


def test_a_payments_key_lives_for_ever_and_names_its_provider() -> None:
    assert TopUp(**ASKED).idem_key == "topup:bank:p"


@pytest.mark.parametrize("amount", ["", "-1", "inf", "1e400", "0x1", "1,5", " ", "1.0000000001"])
def test_an_amount_is_a_plain_decimal(amount: str) -> None:
    with pytest.raises(ValidationError):
        TopUp(**{**ASKED, "amount": amount})


def test_a_limit_may_be_removed() -> None:
    change = {"account_id": "a", "kind": "key", "id": "k", "currency": "USD", "window": "day"}
    assert LimitChange.model_validate({**change, "limit": None}).limit_nano is None
    assert LimitChange.model_validate({**change, "limit": "0"}).limit_nano == 0
    with pytest.raises(ValidationError):
        LimitChange.model_validate(change)


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ("day", datetime(2026, 3, 1, tzinfo=UTC)),
        ("month", datetime(2026, 3, 1, tzinfo=UTC)),
        ("total", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_periods_begin_at_midnight_utc(window: str, start: datetime) -> None:
    west = timezone(timedelta(hours=-8))
    assert period_start(window, datetime(2026, 2, 28, 16, 0, tzinfo=west)) == start
    assert period_start(window, datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)) == start


@pytest.mark.parametrize(
    ("field", "value", "why"), [("amount", "1,5", "plain decimal"), ("provider", "a\x00b", "NUL character")]
)
def test_what_is_wrong_with_a_payment_is_said(field: str, value: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TopUp(**{**ASKED, field: value})
