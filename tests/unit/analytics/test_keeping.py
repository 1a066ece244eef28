"""How long rows are kept: which settings are taken, and which events are too old for their table."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from services.analytics.keeping import check, oldest_us
from services.analytics.layout import Layout
from services.analytics.placing import leave_out_old
from services.analytics.rows.decode import decode
from services.analytics.rows.requests import REQUESTS
from services.analytics.settings import Settings
from tests.unit.analytics.records import EXAMPLES, Record

NEEDED = {
    "DATABASE_URL": "postgresql://localhost/x",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "TOLLBOOK_ADMIN_TOKEN": "a",
    "TOLLBOOK_EDGE_TOKEN": "b",
}
SERVER = {"CLICKHOUSE_URL": "http://localhost:8123"}


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    """The settings that an environment gives."""
    for name, value in {**NEEDED, **environment}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_nothing_is_removed_and_engines_are_plain_unless_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch)
    assert (found.clickhouse_keep_days, found.layout) == ({}, Layout("plain"))


def test_days_are_set_per_table(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = settings(monkeypatch, TOLLBOOK_CLICKHOUSE_KEEP_DAYS='{"attempts": 90, "usage_minute": 400}').clickhouse_keep_days
    assert kept == {"attempts": 90, "usage_minute": 400}


@pytest.mark.parametrize(
    ("keep_days", "said"),
    [({"ledger": 400}, "kept for ever"), ({"invoices": 9}, "no table 'invoices'"), ({"attempts": 1}, "2 days or more")],
)
def test_what_cannot_be_limited_is_refused_with_the_reason(keep_days: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(keep_days)


@pytest.mark.parametrize(
    "environment",
    [
        {"TOLLBOOK_CLICKHOUSE_ENGINES": "database"},
        {"TOLLBOOK_CLICKHOUSE_ENGINES": "replicated", **SERVER},
        {"TOLLBOOK_CLICKHOUSE_CLUSTER": "main", **SERVER},
        {"TOLLBOOK_CLICKHOUSE_ENGINES": "replicated", "TOLLBOOK_CLICKHOUSE_CLUSTER": "it's", **SERVER},
    ],
)
def test_a_layout_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **environment)


def test_replicas_are_set_by_engines_and_the_name_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    replicated = {"TOLLBOOK_CLICKHOUSE_ENGINES": "replicated", "TOLLBOOK_CLICKHOUSE_CLUSTER": "main"}
    assert settings(monkeypatch, **replicated, **SERVER).layout == Layout("replicated", "main")


def test_a_table_takes_no_event_that_it_would_remove_within_a_day() -> None:
    noon = datetime(2026, 3, 11, 12, tzinfo=UTC).timestamp()
    oldest = datetime.fromtimestamp(oldest_us({"requests": 10}, "requests", noon) / 1_000_000, UTC)
    assert oldest == datetime(2026, 3, 2, tzinfo=UTC)
    assert oldest_us({"requests": 10}, "attempts", noon) == 0


def test_events_that_are_too_old_for_their_table_are_left_out() -> None:
    path = next((EXAMPLES / "tollbook.requests.v1").rglob("RequestAccepted*.json"))
    decoded = decode([Record(REQUESTS.topic, 0, 1, path.read_bytes())])
    at = decoded.column(REQUESTS, "occurred_at")[0] / 1_000_000
    assert leave_out_old(decoded, {"requests": 10}, at + 8 * 86_400) == 0
    assert len(decoded.rows["requests"]) == 1
    assert leave_out_old(decoded, {"requests": 10, "usage_minute": 2}, at + 11 * 86_400) == 1
    assert decoded.rows["requests"] == []
