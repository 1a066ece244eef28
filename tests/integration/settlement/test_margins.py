"""Margin reports from a real ledger, and rates that are superseded and never edited."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from schemas.money import charge_nano
from services.settlement import fx_store
from services.settlement.errors import InvalidError
from services.settlement.fx import RateLine
from services.settlement.margin import By
from services.settlement.margin_store import MOST_DAYS, margins
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for


def today() -> date:
    return datetime.now(UTC).date()


def rate(value: str, day: date | None = None, source: str = "bank") -> RateLine:
    said = {"from": "CNY", "to": "USD", "date": (day or today()).isoformat(), "rate": value, "source": source}
    return RateLine.model_validate(said)


def margin(ledger: Ledger, by: By = "day") -> dict[str, Any]:
    # Midnight may pass while a test runs.
    return margins(ledger.connection, today() - timedelta(days=1), today(), by, "USD")


def rows(found: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {row["key"]: (row["charged_nano"], row["refunded_nano"], row["cost_nano"]) for row in found["data"]}


@pytest.fixture
def earned(ledger: Ledger) -> tuple[Ledger, int]:
    """A charge in USD after a failed attempt elsewhere, one in CNY, one of unknown cost, and a failure that cost something."""
    ledger.top_up("a", "credit", "50")
    ledger.top_up("b", "wallet", "50")
    plain, pooled, silent, failed = hold_for("a"), hold_for("b", candidates=[candidate("pooled")]), hold_for("a"), hold_for("a")
    for hold in (plain, pooled, silent, failed):
        ledger.held(hold)
    cost: dict[str, Any] = {"operator_cost_nano": 1000, "operator_cost_currency": "USD"}
    lost = attempt_on(
        plain,
        1,
        channel="backup",
        outcome="failed",
        error_class="upstream_error",
        operator_cost_nano=70,
        operator_cost_currency="USD",
    )
    answered = attempt_on(plain, 2, **cost)
    ledger.complete(completion(plain, attempts=[lost, answered], charged_attempt=2))
    yuan: dict[str, Any] = {
        "channel": "pool-a",
        "route_type": "pooled",
        "operator_cost_nano": 5000,
        "operator_cost_currency": "CNY",
    }
    ledger.complete(completion(pooled, attempts=[attempt_on(pooled, **yuan)]))
    ledger.complete(completion(silent, attempts=[attempt_on(silent)]))
    ledger.complete(
        completion(
            failed, attempts=[attempt_on(failed, outcome="failed", error_class="upstream_error", **cost)], charged_attempt=None
        )
    )
    charge = charge_nano(ledger.books.in_force.prices["direct", "gpt-4o"], attempt_on(plain).usage)
    ledger.refund("a", plain.request_id, "0.0000001")
    return ledger, charge


def test_charges_less_refunds_less_costs_by_whatever_is_asked(earned: tuple[Ledger, int]) -> None:
    ledger, charge = earned
    fx_store.set_rates(ledger.connection, [rate("0.1")], author="ann")
    yuan = charge_nano(ledger.books.in_force.prices["pooled", "gpt-4o"], attempt_on(hold_for("b")).usage)
    converted = round(yuan / 10)
    by_account = margin(ledger, "account")
    assert rows(by_account) == {"a": (2 * charge, 100, 2070), "b": (converted, 0, 500)}
    assert {row["key"]: row["uncosted_nano"] for row in by_account["data"]} == {"a": charge, "b": 0}
    assert by_account["total"]["margin_nano"] == 2 * charge + converted - 100 - 2570
    assert by_account["total"]["requests"] == 3
    assert rows(margin(ledger, "channel")) == {
        "openai-main": (2 * charge, 100, 2000), "pool-a": (converted, 0, 500), "backup": (0, 0, 70),
    }  # fmt: skip
    assert rows(margin(ledger, "model")) == {"gpt-4o": (2 * charge + converted, 100, 2570)}
    assert by_account["unconverted"] == []
    assert {each["rate"] for each in by_account["rates"]} == {"0.1"}
    assert {name: margin(ledger)["total"][f"{name}_nano"] for name in ("charged", "cost")} == {
        "charged": by_account["total"]["charged_nano"], "cost": by_account["total"]["cost_nano"],
    }  # fmt: skip


def test_without_a_rate_the_money_is_shown_apart(earned: tuple[Ledger, int]) -> None:
    ledger, charge = earned
    found = margin(ledger, "account")
    assert rows(found) == {"a": (2 * charge, 100, 2070)}
    (left,) = found["unconverted"]
    assert (left["key"], left["currency"], left["cost_nano"]) == ("b", "CNY", 5000)


def test_a_charge_for_an_expired_hold_is_named_after_the_place_that_was_asked(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "50")
    hold = hold_for("a")
    ledger.held(hold)
    ledger.as_owner("update hold set progress_input = 100, progress_output = 100 where id = %s", hold.hold_id)
    ledger.as_owner("update hold set expires_at = clock_timestamp() - interval '1 hour' where id = %s", hold.hold_id)
    assert ledger.expire(hold.hold_id) == 1
    assert [row["key"] for row in margin(ledger, "model")["data"]] == ["gpt-4o"]
    (row,) = margin(ledger, "channel")["data"]
    assert (row["key"], row["cost_nano"], row["uncosted_nano"] == row["charged_nano"] > 0) == ("openai-main", 0, True)


def test_a_rate_is_superseded_with_its_history_and_the_same_again_is_nothing_new(ledger: Ledger) -> None:
    day = today()
    assert len(fx_store.set_rates(ledger.connection, [rate("0.14"), rate("0.13", day - timedelta(days=1))], author="ann")) == 2
    assert fx_store.set_rates(ledger.connection, [rate("0.140")], author="bob") == []
    ((before, after),) = fx_store.set_rates(ledger.connection, [rate("0.15", source="other bank")], author="bob")
    assert before is not None
    assert (before.rate, after.rate) == ("0.14", "0.15")
    asked: dict[str, Any] = {
        "from_currency": "CNY",
        "to_currency": None,
        "since": day,
        "until": None,
        "after": None,
        "limit": 10,
    }
    in_force = fx_store.listed(ledger.connection, history=False, **asked)
    assert [(row["rate"], row["author"], row["superseded_at"]) for row in in_force] == [("0.15", "bob", None)]
    history = fx_store.listed(ledger.connection, history=True, **asked)
    assert [(row["rate"], row["superseded_at"] is None) for row in history] == [("0.15", True), ("0.14", False)]
    for change in ("update fx_rate set rate = '1'", "delete from fx_rate"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.connection.execute(change.encode())
    used = fx_store.read_rates(ledger.connection, ["USD"], day, day).on("CNY", "USD", day)
    assert used is not None
    assert used.factor * 100 == 15


@pytest.mark.parametrize("days", [-1, MOST_DAYS])
def test_a_report_has_a_beginning_before_its_end_and_a_bound(ledger: Ledger, days: int) -> None:
    with pytest.raises(InvalidError):
        margins(ledger.connection, today(), today() + timedelta(days=days), "day", "USD")
    assert margins(ledger.connection, today(), today(), "day", uuid4().hex)["data"] == []
