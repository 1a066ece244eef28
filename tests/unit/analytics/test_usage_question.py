"""What a usage report may be asked for, and how its rows are written."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.analytics.errors import QueryRefusedError
from services.analytics.usage_api import report
from services.analytics.usage_api.api import digits
from services.analytics.usage_api.question import Question, cursor, keys_of, question, span_against

NOW = datetime(2026, 11, 26, 12, 30, 30, tzinfo=UTC)


def ask(**more: Any) -> Question:
    """A question as a query gives it."""
    told: dict[str, Any] = {"since": None, "until": None, "zone": "UTC", "by": "", "grain": "none", "filters": {}, "tags": []}
    return question(**(told | more), now=NOW)


def test_without_a_range_it_is_the_last_seven_days_up_to_the_end_of_this_minute() -> None:
    asked = ask()
    assert asked.until == datetime(2026, 11, 26, 12, 31, tzinfo=UTC)
    assert asked.until - asked.since == timedelta(days=7, minutes=1)


def test_a_date_is_its_midnight_in_the_time_zone() -> None:
    asked = ask(since="2026-03-29", until="2026-03-30", zone="Europe/Berlin", grain="day")
    assert (asked.since.hour, asked.until.hour) == (23, 22)
    assert asked.until - asked.since == timedelta(hours=23)  # the day on which the clocks go forward
    assert asked.of_whole_hours


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Australia/Lord_Howe"])
def test_a_zone_of_half_hours_is_summed_from_minutes(zone: str) -> None:
    assert not ask(since="2026-07-01", until="2026-07-03", zone=zone, grain="day").of_whole_hours


@pytest.mark.parametrize(
    ("param", "more"),
    [
        ("by", {"by": "colour"}),
        ("by", {"by": "key,key"}),
        ("by", {"by": "key,model,bucket"}),
        ("by", {"by": "tag:"}),
        ("by", {"by": "channel"}),
        ("channel", {"filters": {"channel": "c"}}),
        ("interval", {"grain": "week"}),
        ("timezone", {"zone": "Mars/Olympus"}),
        ("timezone", {"zone": "../etc/passwd"}),
        ("timezone", {"zone": "right/UTC"}),
        ("timezone", {"zone": "localtime"}),
        ("timezone", {"zone": "Europe"}),
        ("timezone", {"zone": "UTC\0"}),
        ("timezone", {"zone": ""}),
        ("by", {"by": "tag:a=b"}),
        ("by", {"by": "tag:" + "n" * 65}),
        ("by", {"by": "tag:a\u202e"}),
        ("by", {"by": "tag:a,tag:b,tag"}),
        ("by", {"by": ","}),
        ("from", {"since": "2026-11-20T10:00:00 01:00"}),
        ("from", {"since": "2026-11-26", "until": "2026-11-26"}),
        ("from", {"since": "0001-01-01T00:00:00+23:59"}),
        ("from", {"since": "2026-11-2\0"}),
        ("from", {"since": "yesterday"}),
        ("from", {"since": "2026-11-27"}),
        ("from", {"since": "2020-01-01"}),
        ("to", {"until": "9999-12-31"}),
        ("tag", {"tags": ["a"] * 11}),
        ("tag", {"tags": ["a\0"]}),
        ("tag", {"tags": ["a=" + "v" * 320]}),
        ("tag", {"tags": ["a=\ud800"]}),
        ("model", {"filters": {"model": "m" * 257}}),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_its_parameter(param: str, more: dict[str, Any]) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        ask(**more)
    assert refused.value.param == param


@pytest.mark.parametrize("after", ["x", "bnVsbA==", "WzEsMiwzXQ==", "WyJhIl0=", "é", "WyJcdWQ4MDAiLCAiIiwgIiJd"])
def test_only_a_cursor_is_a_cursor(after: str) -> None:
    with pytest.raises(QueryRefusedError):
        keys_of(after)


def test_a_filter_can_name_whatever_a_label_may_be() -> None:
    woman_at_a_computer, no_break = "\U0001f469\u200d\U0001f4bb", "a\u00a0b"
    longest = "n" * 64 + "=" + "v" * 256
    asked = ask(tags=[f"who={woman_at_a_computer}", longest, "equation=a=b"], by=f"tag:{no_break},tag:{woman_at_a_computer}")
    assert asked.tags == (f"who={woman_at_a_computer}", longest, "equation=a=b")
    assert asked.by == (f"tag:{no_break}", f"tag:{woman_at_a_computer}")


def test_an_empty_filter_is_as_if_it_were_not_there() -> None:
    assert ask(tags=["", "a"], filters={"model": ""}) == ask(tags=["a"])


def test_a_cursor_says_where_a_page_ended() -> None:
    assert keys_of(cursor(("2026-11-26", "key", "é,"))) == ("2026-11-26", "key", "é,")


def test_csv_has_a_column_of_each_currency_and_no_formula() -> None:
    counts = dict.fromkeys(report.COUNTS, 1)
    cost = {"currency": "USD", "cost_nano": 1, "cost": "0.000000001"}
    records = [{**counts, "tag:team": "=1+1", "model": 'a "b", c', "costs": [cost]}]
    asked, currencies = ask(by="tag:team,model"), ("CNY", "USD")
    lines = report.csv_head(asked, currencies) + report.csv_lines(asked, records, currencies)
    head, row = csv.reader(io.StringIO(lines.decode(), newline=""))
    assert head == ["tag:team", "model", *report.COUNTS, "cost_CNY", "cost_USD"]
    assert row[:2] == ["'=1+1", 'a "b", c']
    assert row[-2:] == ["0", "0.000000001"]
    assert lines.endswith(b"\r\n")


def test_no_cell_of_the_head_is_a_formula() -> None:
    (head,) = csv.reader(io.StringIO(report.csv_head(ask(by="tag:a;+1"), ()).decode(), newline=""))
    assert head[0] == "tag:a;'+1"


def test_a_sum_of_more_than_64_bits_is_written_in_full() -> None:
    for nano in (0, -1, 2**63 - 1, 2**63, 2**64, -(2**64)):
        assert json.loads(orjson.dumps({"cost_nano": digits(nano)})) == {"cost_nano": nano}


def test_a_cost_without_a_column_is_not_left_out_in_silence() -> None:
    cost = {"currency": "USD", "cost_nano": 1, "cost": "0.000000001"}
    record = {**dict.fromkeys(report.COUNTS, 1), "model": "m", "costs": [cost]}
    with pytest.raises(report.LateCurrencyError, match="USD"):
        report.csv_lines(ask(by="model"), [record], ["CNY"])


@pytest.mark.parametrize(
    ("against", "expected"),
    [
        ((None, None), ("2026-11-09", "2026-11-16")),
        (("2026-11-02", None), ("2026-11-02", "2026-11-09")),
        ((None, "2026-11-10"), ("2026-11-03", "2026-11-10")),
        (("2026-10-01", "2026-11-01"), ("2026-10-01", "2026-11-01")),
    ],
)
def test_a_span_is_compared_with_as_long_a_one_right_before_unless_another_is_named(
    against: tuple[str | None, str | None], expected: tuple[str, str]
) -> None:
    found = span_against(*against, ask(since="2026-11-16", until="2026-11-23"))
    assert tuple(each.date().isoformat() for each in found) == expected


@pytest.mark.parametrize(
    "against", [("yesterday", None), (None, "2026-13-01"), ("2026-11-02", "2026-11-01"), ("2020-01-01", "2026-01-01")]
)
def test_a_mistake_in_what_it_is_compared_with_is_named(against: tuple[str | None, str | None]) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        span_against(*against, ask(since="2026-11-16", until="2026-11-23"))
    assert refused.value.param.startswith("against_")
