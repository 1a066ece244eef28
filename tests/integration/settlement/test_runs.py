"""Runs on a real ledger: earmarked or limited, spent, extended, closed, and accounted for to the unit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from schemas.calls import HoldRequest
from schemas.envelope import now
from schemas.money import Usage, charge_nano
from schemas.requests import KeyRef
from schemas.runs import RunOpening
from services.settlement.database import connect
from services.settlement.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, PaymentRequiredError
from services.settlement.run_closing import close_run
from services.settlement.run_store import open_run
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, candidate, completion, hold_for

OTHER = KeyRef(project_id="project-1", key_id="key-2", key_name="other")
HOLD_NANO = 2_250_000
CHARGE_NANO = 1_375_000


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger whose account `a` has ten units in each bucket."""
    with running_ledger(database_url) as running:
        running.top_up("a", "credit", "10")
        running.top_up("a", "wallet", "10")
        yield running
        running.assert_sound()


def in_run(run_id: str, **fields: Any) -> HoldRequest:
    """A hold of 2,250,000 nano in the run."""
    return hold_for("a", run_id=run_id, **fields)


def budget(ledger: Ledger, run_id: str, bucket: str = "credit") -> dict[str, Any]:
    """One bucket of the run."""
    return next(each for each in ledger.run("a", run_id)["budgets"] if each["bucket"] == bucket)


def test_opening_a_run_sets_its_budget_aside_in_every_bucket(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "4", "wallet": "2.5"}, label="research")
    assert ledger.balance("a", "credit") == (6_000_000_000, 0)
    assert ledger.balance("a", "wallet") == (7_500_000_000, 0)
    found = ledger.run("a", run_id)
    assert (found["state"], found["label"], found["reserve"]) == ("open", "research", True)
    assert [(each["bucket"], each["left"]) for each in found["budgets"]] == [("credit", "4.00"), ("wallet", "2.50")]
    assert ("tollbook.ledger.v1", "RunOpened") in [(topic, kind) for topic, kind, _ in ledger.outbox()]


def test_a_run_that_cannot_be_paid_is_refused_and_changes_nothing(ledger: Ledger) -> None:
    with pytest.raises(PaymentRequiredError, match=r"bucket wallet .* 11\.00 CNY needed, 10\.00 CNY left"):
        ledger.open_run("a", KEY, {"credit": "4", "wallet": "11"})
    with pytest.raises(InvalidError, match="the buckets are credit, wallet"):
        ledger.open_run("a", KEY, {"cash": "1"})
    with pytest.raises(InvalidError, match="31 days"):
        ledger.open_run("a", KEY, {"credit": "1"}, deadline_at=now() + timedelta(days=40))
    assert (ledger.balance("a", "credit"), ledger.count("run"), ledger.count("run_budget")) == ((10_000_000_000, 0), 0, 0)


def test_a_total_limit_that_leaves_less_refuses_a_run_and_a_days_limit_warns(ledger: Ledger) -> None:
    ledger.limit("a", "project", "project-1", "total", "3")
    with pytest.raises(PaymentRequiredError, match=r"total limit of project project-1 .* 4\.00 USD needed, 3\.00 USD left"):
        ledger.open_run("a", KEY, {"credit": "4"})
    ledger.limit("a", "key", "key-1", "day", "1")
    run_id = ledger.open_run("a", KEY, {"credit": "2"})
    assert "day limit of key key-1" in ledger.run("a", run_id)["warnings"][0]


def test_holds_of_a_run_draw_on_its_reserve_and_stop_at_its_budget(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.005"})
    answers = ledger.hold(*[in_run(run_id) for _ in range(3)])
    assert [answer["status"] for answer in answers] == ["held", "held", "refused"]
    refusal = answers[2]
    assert (refusal["http_status"], refusal["code"]) == (402, "budget_exceeded")
    assert refusal["envelope"] == {"kind": "run", "id": run_id, "window": "run"}
    assert (refusal["needed_nano"], refusal["left_nano"], refusal["resets_at"]) == (HOLD_NANO, 500_000, None)
    assert (refusal["held_nano"], refusal["passing"]) == (2 * HOLD_NANO, True)
    assert "extend the run" in refusal["message"]
    assert ledger.balance("a") == (9_995_000_000, 0)
    assert budget(ledger, run_id)["held_nano"] == 2 * HOLD_NANO
    ledger.held(hold_for("a"))  # the rest of the account goes on


def test_a_bucket_without_a_budget_pays_nothing_for_a_run(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "1"})
    refusal = ledger.hold(in_run(run_id, candidates=[candidate("pooled")]))[0]
    assert (refusal["code"], refusal["bucket"], refusal["left_nano"]) == ("budget_exceeded", "wallet", 0)
    assert (refusal["held_nano"], refusal["passing"]) == (0, False)


def test_without_a_cap_a_hold_looks_at_what_the_run_has_left(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.08"})
    assert ledger.held(in_run(run_id, max_output_tokens=None))["amount_nano"] <= 20_000_000


def test_a_hold_of_a_run_passes_the_limits_around_it_too(ledger: Ledger) -> None:
    ledger.limit("a", "key", "key-1", "day", "0.003")
    run_id = ledger.open_run("a", KEY, {"credit": "1"})
    first, second = ledger.hold(in_run(run_id), in_run(run_id))
    assert first["status"] == "held"
    assert (second["http_status"], second["envelope"]) == (429, {"kind": "key", "id": "key-1", "window": "day"})


@pytest.mark.parametrize(
    ("run", "key", "account", "status", "code"),
    [
        ("run_unknown", KEY, "a", 404, "run_not_found"),
        (None, OTHER, "a", 403, "run_not_allowed"),
        (None, KEY, "b", 404, "run_not_found"),
    ],
)
def test_only_its_own_key_joins_a_run(  # noqa: PLR0917 - one column per part of the case
    ledger: Ledger, run: str | None, key: KeyRef, account: str, status: int, code: str
) -> None:
    run_id = run or ledger.open_run("a", KEY, {"credit": "1"})
    request = hold_for(account, run_id=run_id, key=key)
    refusal = ledger.hold(request)[0]
    assert (refusal["http_status"], refusal["code"]) == (status, code)
    assert refusal["envelope"] == {"kind": "run", "id": run_id, "window": None}
    assert run_id in refusal["message"]
    assert ledger.hold(request)[0] == refusal


def test_a_run_opened_after_a_refusal_is_found(ledger: Ledger) -> None:
    ledger.hold(in_run("run_later"))
    ledger.connection.execute(
        "insert into run (id, holder, project_id, key_id, reserve, state, deadline_at, opened_at, detail, warnings) "
        "select 'run_later', 'a', 'project-1', 'key-1', false, 'OPEN', now() + interval '1 hour', now(), '{}', '[]'"
    )
    ledger.held(in_run("run_later"))


def test_extending_a_run_lets_it_go_on(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.003"})
    first = in_run(run_id)
    ledger.held(first)
    assert ledger.hold(in_run(run_id))[0]["status"] == "refused"
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.002", "wallet": "1"}, idempotency_key="more")
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.002", "wallet": "1"}, idempotency_key="more")
    with pytest.raises(ConflictError):
        ledger.extend_run("a", run_id, KEY, budget={"credit": "0.001"}, idempotency_key="more")
    ledger.held(in_run(run_id))
    ledger.held(in_run(run_id, candidates=[candidate("pooled")], max_output_tokens=10))
    assert budget(ledger, run_id)["budget_nano"] == 5_000_000
    assert ledger.balance("a") == (9_995_000_000, 0)
    with pytest.raises(ForbiddenError):
        ledger.extend_run("a", run_id, OTHER, budget={"credit": "1"})
    with pytest.raises(NotFoundError):
        ledger.extend_run("b", run_id, KEY, budget={"credit": "1"})


def test_closing_waits_for_the_last_hold_and_returns_the_rest_to_the_unit(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "1"})
    open_hold, done = in_run(run_id), in_run(run_id)
    ledger.hold(open_hold, done)
    ledger.complete(completion(done))
    assert ledger.close_run("a", run_id, KEY)["state"] == "closing"
    refusal = ledger.hold(in_run(run_id))[0]
    assert (refusal["http_status"], refusal["code"]) == (409, "run_closed")
    with pytest.raises(ConflictError) as refused:
        ledger.extend_run("a", run_id, KEY, budget={"credit": "1"})
    assert (refused.value.code, refused.value.facts["envelope"]) == (
        "run_closed",
        {"kind": "run", "id": run_id, "window": None},
    )
    assert ledger.close_due_runs() == 0
    ledger.complete(completion(open_hold))
    assert ledger.close_due_runs() == 1
    found = ledger.run("a", run_id)
    assert (found["state"], found["close_reason"]) == ("closed", "closed_by_client")
    assert budget(ledger, run_id)["returned_nano"] == 10**9 - 2 * CHARGE_NANO
    assert ledger.balance("a") == (10**10 - 2 * CHARGE_NANO, 0)
    assert ledger.close_run("a", run_id, KEY)["state"] == "closed"
    assert ledger.rows("select count(*) as n from txn where kind = 'run_close'") == [{"n": 1}]


def test_a_deadline_closes_a_run_and_an_extension_in_time_keeps_it_open(ledger: Ledger) -> None:
    kept, ended = ledger.open_run("a", KEY, {"credit": "1"}), ledger.open_run("a", KEY, {"credit": "2"})
    ledger.connection.execute("update run set deadline_at = now() - interval '1 second'")
    assert ledger.hold(in_run(ended))[0]["code"] == "run_closed"
    ledger.extend_run("a", kept, KEY, deadline_at=now() + timedelta(minutes=5))
    assert ledger.close_due_runs() == 1
    assert [ledger.run("a", each)["state"] for each in (kept, ended)] == ["open", "closed"]
    assert ledger.run("a", ended)["close_reason"] == "deadline"
    assert ledger.balance("a") == (9 * 10**9, 0)
    ledger.held(in_run(kept))


def test_a_run_without_a_reserve_is_a_limit_on_the_customers_bucket(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.005"}, reserve=False)
    assert ledger.balance("a") == (10**10, 0)
    done = in_run(run_id)
    answers = ledger.hold(done, in_run(run_id), in_run(run_id))
    assert [answer["status"] for answer in answers] == ["held", "held", "refused"]
    assert answers[2]["envelope"] == {"kind": "run", "id": run_id, "window": "run"}
    assert (answers[2]["http_status"], answers[2]["left_nano"]) == (402, 500_000)
    assert ledger.balance("a") == (10**10, 2 * HOLD_NANO)
    ledger.complete(completion(done))
    assert (budget(ledger, run_id)["spent_nano"], budget(ledger, run_id)["left_nano"]) == (CHARGE_NANO, 1_375_000)
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.001"})
    ledger.held(in_run(run_id))
    assert ledger.close_run("a", run_id, KEY)["state"] == "closing"


def test_a_limit_that_a_run_gets_later_counts_from_the_runs_opening(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"wallet": "1"}, reserve=False)
    done, refunded, open_hold, elsewhere = in_run(run_id), in_run(run_id), in_run(run_id), hold_for("a")
    ledger.hold(done, refunded, open_hold, elsewhere)
    ledger.complete(completion(done), completion(refunded), completion(elsewhere))
    ledger.refund("a", refunded.request_id, "0.001")
    spent = 2 * CHARGE_NANO - 1_000_000
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.005"})
    assert (budget(ledger, run_id)["spent_nano"], budget(ledger, run_id)["held_nano"]) == (2 * CHARGE_NANO, HOLD_NANO)
    refusal = ledger.hold(in_run(run_id))[0]
    assert (refusal["code"], refusal["left_nano"]) == ("budget_exceeded", 5_000_000 - spent - HOLD_NANO)
    ledger.assert_sound()
    ledger.complete(completion(open_hold))
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.001"})
    left = 6_000_000 - spent - CHARGE_NANO
    refusal = ledger.hold(in_run(run_id, max_output_tokens=10**5, model_max_output_tokens=10**5))[0]
    assert refusal["left_nano"] == left
    ledger.held(in_run(run_id))


def test_opening_again_under_the_same_key_gives_the_same_run(ledger: Ledger) -> None:
    first = ledger.open_run("a", KEY, {"credit": "1"}, idempotency_key="job-1")
    assert ledger.open_run("a", KEY, {"credit": "1"}, idempotency_key="job-1") == first
    with pytest.raises(ConflictError):
        ledger.open_run("a", KEY, {"credit": "2"}, idempotency_key="job-1")
    assert ledger.open_run("a", OTHER, {"credit": "1"}, idempotency_key="job-1") != first
    assert ledger.balance("a") == (8 * 10**9, 0)


def test_an_overrun_is_paid_by_the_reserve_and_the_bucket_pays_what_it_cannot(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.003"})
    request = in_run(run_id)
    ledger.held(request)
    more = Usage(input_tokens=374, output_tokens=400)
    charge = charge_nano(ledger.books.in_force.prices["direct", "gpt-4o"], more)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=more)]))
    assert ledger.hold(in_run(run_id, max_output_tokens=1))[0]["code"] == "budget_exceeded"
    ledger.assert_sound()
    assert ledger.close_run("a", run_id, KEY)["state"] == "closed"
    assert ledger.balance("a") == (10**10 - charge, 0)
    assert ledger.rows("select sum(overrun)::bigint as owed from bucket_balance") == [{"owed": 0}]


def test_what_comes_back_pays_first_what_the_bucket_owes(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "9.999"})
    request = hold_for("a", max_output_tokens=0, input_tokens_bound=400)
    ledger.held(request)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=Usage(output_tokens=300))]))
    owed = ledger.rows("select overrun from bucket_balance where run = '' and bucket = 'credit'")[0]["overrun"]
    assert owed == 2_000_000
    ledger.close_run("a", run_id, KEY)
    assert ledger.balance("a") == (9_997_000_000, 0)


def test_many_holds_never_take_more_than_a_runs_budget_and_many_closings_are_one(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.1"})

    def close_at_the_end(_: int) -> None:
        connection = connect(ledger.url, statement_timeout_ms=20_000)
        try:
            close_run(connection, "a", run_id, KEY)
        finally:
            connection.close()

    answers = [answer for _ in range(20) for answer in ledger.hold(*[in_run(run_id) for _ in range(5)])]
    granted = [answer for answer in answers if answer["status"] == "held"]
    assert len(granted) == 10**8 // HOLD_NANO
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(close_at_the_end, range(8)))
    assert ledger.run("a", run_id)["state"] == "closing"


def test_runs_opened_at_once_never_set_aside_more_than_there_is(ledger: Ledger) -> None:
    asked = RunOpening(key=KEY, budget={"credit": "3"}, deadline_at=now() + timedelta(minutes=5))

    def opened(_: int) -> bool:
        connection = connect(ledger.url, statement_timeout_ms=20_000)
        try:
            open_run(connection, "a", asked, ledger.books.in_force)
        except PaymentRequiredError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(opened, range(16))) == 3
    assert ledger.balance("a") == (10**9, 0)


def test_the_account_of_a_run_adds_up_to_its_receipts(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "1", "wallet": "1"})
    plain, failed, fell_back = in_run(run_id), in_run(run_id), in_run(run_id)
    refused = in_run(run_id, max_output_tokens=10**6, model_max_output_tokens=10**6)
    second = in_run(run_id, request_id=fell_back.request_id, candidates=[candidate("pooled", channel="pool")])
    ledger.hold(plain, failed, fell_back, refused)
    ledger.hold(second)
    burned = Usage(input_tokens=374)
    ledger.complete(
        completion(plain),
        completion(failed, charged=None, attempts=[attempt_on(failed, outcome="failed", error_class="timeout", usage=burned)]),
        completion(
            fell_back,
            attempts=[
                attempt_on(fell_back, outcome="failed", error_class="rate_limited", usage=Usage()),
                attempt_on(fell_back, 2, outcome="failed", error_class="rate_limited", usage=Usage()),
                attempt_on(second, 3),
            ],
            charged=3,
            hold_ids=[fell_back.hold_id, second.hold_id],
        ),
    )
    found = ledger.run_account("a", run_id)
    totals = found["totals"]
    counted = {name: totals[name] for name in ("requests", "refused", "attempts", "retries")}
    assert counted == {"requests": 4, "refused": 1, "attempts": 5, "retries": 1}
    receipts = [ledger.receipt("a", each.request_id) for each in (plain, failed, fell_back)]
    charges: dict[str, int] = {}
    for receipt in receipts:
        if charge := receipt["charge"]:
            charges[charge["bucket"]] = charges.get(charge["bucket"], 0) + charge["amount_nano"]
    assert {each["bucket"]: each["charge_nano"] for each in totals["by_bucket"]} == charges
    assert {each["bucket"]: each["spent_nano"] for each in found["budgets"]} == charges
    for by in ("by_model", "by_route"):
        assert sum(each["charge_nano"] for each in totals[by]) == sum(charges.values())
    wasted = receipts[1]["attempts"][0]["cost_nano"]
    assert found["failures"]["would_have_cost"] == [{"currency": "USD", "amount_nano": wasted, "amount": "0.000935"}]
    assert [each["kind"] for each in found["timeline"]["data"]] == ["opened", "request", "request", "request", "refused"]
    first = ledger.run_account("a", run_id, limit=2)["timeline"]
    assert (len(first["data"]), first["next_after"]) == (2, 2)
    assert any("4 requests joined it" in sentence for sentence in found["explanation"])


def test_a_receipt_says_that_the_runs_reserve_paid(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "1"})
    request = in_run(run_id)
    ledger.held(request)
    ledger.complete(completion(request).model_copy(update={"run_id": run_id}))
    receipt = ledger.receipt("a", request.request_id)
    assert receipt["balance"] == {"before_nano": 10**9, "after_nano": 10**9 - CHARGE_NANO, "run": run_id}
    assert any(f"set aside for run {run_id}" in sentence for sentence in receipt["explanation"])


def test_a_run_says_what_it_was_opened_with_and_what_it_was_extended_by_in_one_form_of_time(ledger: Ledger) -> None:
    run_id = ledger.open_run("a", KEY, {"credit": "0.5"})
    opening = next(iter(ledger.run_account("a", run_id)["explanation"]))
    assert opening.endswith("with 0.50 USD of bucket credit set aside.")
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.25"})
    ledger.extend_run("a", run_id, KEY, budget={"credit": "0.05", "wallet": "1"}, deadline_at=now() + timedelta(hours=2))
    ledger.connection.execute(
        "update run_change set detail = "
        "(detail::jsonb || jsonb_build_object('deadline_at', '2126-03-14T09:00:00+00:00'))::json "
        "where run = %s and kind = 'opened'",
        [run_id],
    )
    account = ledger.run_account("a", run_id)
    assert account["explanation"][:2] == [
        opening,
        "It was extended 2 times, by 0.30 USD of bucket credit, 1.00 CNY of bucket wallet in all, "
        "to 0.80 USD of bucket credit, 1.00 CNY of bucket wallet.",
    ]
    assert all(entry["deadline_at"].endswith("Z") for entry in account["timeline"]["data"])
    later = ledger.open_run("a", KEY, {"credit": "0.5"})
    ledger.extend_run("a", later, KEY, deadline_at=now() + timedelta(hours=3))
    assert ledger.run_account("a", later)["explanation"][1] == "It was extended 1 time in time alone."
