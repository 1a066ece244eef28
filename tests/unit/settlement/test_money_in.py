"""Payments and periods."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from services.settlement.chargebacks import Chargeback, Reinstatement
from services.settlement.errors import InvalidError
from services.settlement.money_in import LimitChange, TopUp, period_start
from services.settlement.promotions import Promotion

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


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "a\u202eb", "a\u2028b"])
def test_a_name_holds_nothing_that_misleads_a_reader(name: str) -> None:
    for field in ("account_id", "payment_id"):
        with pytest.raises(ValidationError, match="takes no control"):
            TopUp(**{**ASKED, field: name})


@pytest.mark.parametrize("provider", ["a:b", ":", "bank:"])
def test_a_provider_has_no_colon_so_that_no_two_payments_share_a_key(provider: str) -> None:
    with pytest.raises(ValidationError):
        TopUp(**{**ASKED, "provider": provider})
    said = {"provider": provider, "dispute_id": "d", "reason": "r", "author": "a"}
    with pytest.raises(ValidationError):
        Chargeback.model_validate({**said, "payment_id": "p"})
    with pytest.raises(ValidationError):
        Reinstatement.model_validate(said)
    assert TopUp(**{**ASKED, "payment_id": "b:c"}).idem_key == "topup:bank:b:c"


@pytest.mark.parametrize(
    "expires_at",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2100-01-01T00:00:01Z", "1969-12-31T23:59:59Z"],
)
def test_a_promotion_expires_within_what_can_be_kept(expires_at: str) -> None:
    promised = {"account_id": "a", "bucket": "credit", "amount": "1", "reason": "r", "author": "a", "key": "k"}
    with pytest.raises(InvalidError) as refused:
        Promotion.model_validate({**promised, "expires_at": expires_at})
    assert (refused.value.code, refused.value.param) == ("invalid_expiry", "expires_at")
    last = Promotion.model_validate({**promised, "expires_at": "2100-01-01T01:00:00+01:00"})
    assert last.expires_at == datetime(2100, 1, 1, tzinfo=UTC)


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
    ("field", "value", "why"), [("amount", "1,5", "plain decimal"), ("provider", "a\x00b", "takes no control")]
)
def test_what_is_wrong_with_a_payment_is_said(field: str, value: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TopUp(**{**ASKED, field: value})
