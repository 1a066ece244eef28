"""From rows to what the dashboard shows."""

from services.analytics import dashboard
from services.analytics.timerange import TimeRange

TIME = TimeRange(0, 180, 60)


def test_a_step_without_rows_is_nothing_and_every_outcome_is_there() -> None:
    rows = [{"bucket": 60, "outcome": "failed", "requests": 2}, {"bucket": 120, "outcome": "succeeded", "requests": 5}]
    assert dashboard.requests_over_time(rows, TIME) == [
        {"name": "succeeded", "values": [0, 0, 5]},
        {"name": "failed", "values": [0, 2, 0]},
        {"name": "cancelled", "values": [0, 0, 0]},
        {"name": "rejected", "values": [0, 0, 0]},
    ]


def spend(bucket: int, currency: str, nano: int, route: str = "direct") -> dict[str, object]:
    return {"bucket": bucket, "currency": currency, "wallet": "credit", "route": route, "spent_nano": nano, "charges": 1}


def test_currencies_are_never_added() -> None:
    rows = [spend(0, "USD", 1_500_000_000), spend(60, "USD", 1), spend(0, "CNY", 7_000_000_000)]
    assert dashboard.spend_over_time(rows, TIME) == [
        {"currency": "CNY", "series": [{"name": "direct · credit", "values": ["7.00", "0.00", "0.00"]}]},
        {"currency": "USD", "series": [{"name": "direct · credit", "values": ["1.50", "0.000000001", "0.00"]}]},
    ]
    assert [(row["currency"], row["amount"], row["charges"]) for row in dashboard.spend_by_route(rows)] == [
        ("CNY", "7.00", 1),
        ("USD", "1.500000001", 2),
    ]


def test_rare_fallbacks_are_one_series() -> None:
    rows = [
        {"bucket": 0, "from_channel": f"c{number}", "to_channel": "spare", "fallbacks": 100 - number} for number in range(10)
    ]
    series = dashboard.fallbacks_over_time(rows, TIME)
    assert [entry["name"] for entry in series] == [f"c{number} → spare" for number in range(8)] + ["others"]
    assert series[-1]["values"] == [92 + 91, 0, 0]


def test_a_step_in_which_nothing_succeeded_has_no_latency() -> None:
    rows = [{"bucket": 60, "latency_p50": 5.0, "latency_p99": 9.0}]
    assert dashboard.quantiles_over_time(rows, "latency", TIME) == [
        {"name": "p50", "values": [None, 5.0, None]},
        {"name": "p99", "values": [None, 9.0, None]},
    ]


def test_errors_are_counted_by_channel_and_class() -> None:
    def attempts(channel: str, outcome: str, error_class: str, number: int) -> dict[str, object]:
        return {"channel": channel, "outcome": outcome, "error_class": error_class, "attempts": number}

    rows = [
        attempts("a", "succeeded", "", 90),
        attempts("b", "succeeded", "", 1),
        attempts("b", "failed", "timeout", 3),
        attempts("b", "failed", "rate_limited", 2),
        attempts("b", "cancelled", "", 1),
    ]
    assert dashboard.errors_by_channel(rows) == [
        {"channel": "b", "attempts": 7, "failed": 6, "by_class": {"timeout": 3, "rate_limited": 2, "cancelled": 1}},
        {"channel": "a", "attempts": 90, "failed": 0, "by_class": {}},
    ]
