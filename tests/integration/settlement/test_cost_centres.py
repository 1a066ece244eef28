"""An internal cost centre: a bucket with a limit instead of a top-up."""

from collections.abc import Iterator

import pytest

from schemas.money import Usage
from services.settlement.errors import ConflictError, InvalidError
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, completion, hold_for

CHARGE_NANO = 1_375_000


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger where the account `research` is a cost centre with 0.005 USD a month."""
    with running_ledger(database_url) as running:
        running.cost_centre("research", "credit", "0.005")
        yield running
        running.assert_sound()


def test_a_cost_centre_is_paid_without_a_top_up_up_to_its_limit(ledger: Ledger) -> None:
    done = hold_for("research")
    answers = ledger.hold(done, hold_for("research"), hold_for("research"))
    assert [answer["status"] for answer in answers] == ["held", "held", "refused"]
    refusal = answers[2]
    assert (refusal["http_status"], refusal["code"]) == (429, "budget_exceeded")
    assert refusal["envelope"] == {"kind": "bucket", "id": "credit", "window": "month"}
    assert (refusal["left_nano"], refusal["resets_at"][-1]) == (500_000, "Z")
    ledger.complete(completion(done))
    assert ledger.balance("research") == (-CHARGE_NANO, 2_250_000)
    ledger.held(hold_for("research", max_output_tokens=1))


def test_what_it_used_is_what_revenue_got(ledger: Ledger) -> None:
    request = hold_for("research")
    ledger.held(request)
    ledger.complete(completion(request))
    rows = ledger.rows(
        "select k.kind, p.side, p.amount from posting p join account k on k.id = p.account order by k.kind, p.line"
    )
    assert rows == [
        {"kind": "customer_bucket", "side": "debit", "amount": CHARGE_NANO},
        {"kind": "revenue", "side": "credit", "amount": CHARGE_NANO},
    ]
    assert ledger.receipt("research", request.request_id)["charge"]["amount_nano"] == CHARGE_NANO


def test_raising_the_limit_lets_it_go_on_and_removing_it_stops_it(ledger: Ledger) -> None:
    ledger.hold(hold_for("research"), hold_for("research"))
    assert ledger.hold(hold_for("research"))[0]["status"] == "refused"
    ledger.cost_centre("research", "credit", "1")
    ledger.held(hold_for("research"))
    ledger.limit("research", "bucket", "credit", "month", None)
    refusal = ledger.hold(hold_for("research"))[0]
    assert (refusal["code"], refusal["left_nano"]) == ("budget_exceeded", 0)


def test_project_and_key_limits_nest_in_it(ledger: Ledger) -> None:
    ledger.limit("research", "key", KEY.key_id, "total", "0.003")
    first, second = ledger.hold(hold_for("research"), hold_for("research"))
    assert first["status"] == "held"
    assert second["envelope"] == {"kind": "key", "id": KEY.key_id, "window": "total"}


def test_usage_above_its_hold_is_charged_and_owed_to_nobody(ledger: Ledger) -> None:
    request = hold_for("research")
    ledger.held(request)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=Usage(output_tokens=400))]))
    assert ledger.rows("select posted, overrun from bucket_balance") == [{"posted": -4_000_000, "overrun": 0}]


def test_it_takes_no_top_up_and_no_reserve(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="change the limit instead"):
        ledger.top_up("research", "credit", "1")
    with pytest.raises(InvalidError, match='"reserve": false'):
        ledger.open_run("research", KEY, {"credit": "0.001"})
    run_id = ledger.open_run("research", KEY, {"credit": "0.003"}, reserve=False)
    answers = ledger.hold(hold_for("research", run_id=run_id), hold_for("research", run_id=run_id))
    assert [answer["status"] for answer in answers] == ["held", "refused"]
    assert answers[1]["envelope"] == {"kind": "run", "id": run_id, "window": "run"}


def test_a_bucket_that_payments_fund_does_not_become_one(ledger: Ledger) -> None:
    ledger.top_up("customer", "credit", "1")
    with pytest.raises(ConflictError, match="account of its own"):
        ledger.cost_centre("customer", "credit", "5")
    with pytest.raises(InvalidError, match="no bucket"):
        ledger.cost_centre("other", "cash", "5")


def test_its_balance_says_what_the_limit_leaves(ledger: Ledger) -> None:
    ledger.held(hold_for("research"))
    from services.settlement.balance_store import balances

    (row,) = balances(ledger.connection, "research")
    assert (row["funding"], row["available_nano"], row["held_nano"]) == ("limit", 2_750_000, 2_250_000)
