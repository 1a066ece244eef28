"""Expiry and overlap, as an operator writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from services.edge.errors import UnprocessableError
from services.edge.key_times import parse_expiry, parse_overlap

NOW = datetime(2026, 11, 25, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [
        ("30s", NOW + timedelta(seconds=30)),
        ("30d", NOW + timedelta(days=30)),
        ("1mo", NOW + timedelta(days=30)),
        ("2027-01-01T00:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01t02:00:00+02:00", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_duration_or_an_instant(text: str, expires_at: datetime) -> None:
    assert parse_expiry(text, NOW) == expires_at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0s",
        "soon",
        "30",
        "-1d",
        "2026-11-25T12:00:00Z",
        "2027-13-01T00:00:00Z",
        "999999999mo",
        "9999-12-31T23:59:59Z",
        "36500d",
    ],
)
def test_what_is_no_time_to_come_is_no_expiry(text: str) -> None:
    with pytest.raises(UnprocessableError) as refused:
        parse_expiry(text, NOW)
    assert refused.value.param == "expires_at"


@pytest.mark.parametrize(("text", "until"), [("0s", NOW), ("24h", NOW + timedelta(days=1)), ("90d", NOW + timedelta(days=90))])
def test_an_overlap_is_a_duration_which_may_be_none(text: str, until: datetime) -> None:
    assert parse_overlap(text, NOW) == until


@pytest.mark.parametrize("text", ["", "0", "91d", "2027-01-01T00:00:00Z", "999999999mo", "1y"])
def test_an_overlap_is_no_instant_and_at_most_ninety_days(text: str) -> None:
    with pytest.raises(UnprocessableError) as refused:
        parse_overlap(text, NOW)
    assert refused.value.param == "overlap"
