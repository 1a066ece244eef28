"""A deadline is a duration or an instant, in the future and within the longest run."""

from datetime import UTC, datetime, timedelta

import pytest

from services.edge.deadlines import parse_deadline
from services.edge.errors import InvalidRequestError

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("30s", timedelta(seconds=30)),
        ("45m", timedelta(minutes=45)),
        ("12h", timedelta(hours=12)),
        ("1d", timedelta(days=1)),
        ("4w", timedelta(weeks=4)),
        ("1mo", timedelta(days=30)),
        ("31d", timedelta(days=31)),
        ("2026-03-14T09:27:53Z", timedelta(minutes=1)),
        ("2026-03-14t10:27:53+01:00", timedelta(minutes=1)),
        ("2026-03-14T09:26:53.5-00:00", timedelta(seconds=0.5)),
    ],
)
def test_both_forms_are_understood(text: str, after: timedelta) -> None:
    assert parse_deadline(text, NOW) == NOW + after


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "45", "m", "0m", "-1d", "1.5h", "1 d", "1D", "٣m", "1y"),
        *("32d", "2mo", "999999999mo", "2026-04-15T09:26:53Z", "9999-12-31T23:59:59Z"),
        *("2026-03-14T09:26:53Z", "2026-03-13T12:00:00Z", "0001-01-01T00:00:00+14:00"),
        *("2026-03-15", "2026-03-15T12:00:00", "2026-02-30T12:00:00Z", "2026-W12-1T00:00:00Z", "20260315T120000Z"),
    ],
)
def test_anything_else_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_deadline(text, NOW)
    assert (refused.value.code, refused.value.param) == ("invalid_deadline", "deadline")
