"""What open holds alone are in the way of is told apart from what is spent: it passes as soon as they have ended."""

from typing import Any

import pytest

from schemas.calls import HoldRequest
from schemas.money import Usage
from schemas.requests import KeyRef
from services.settlement.hold_arrays import HoldArrays
from services.settlement.holds import HoldOrder
from services.settlement.statements import statement
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

HOLD_NANO = 2_250_000
"""What the usual request holds: 500 tokens of prompt and 100 of output."""
CHARGE_NANO = 1_375_000
ENOUGH = "0.004"
"""For one request at a time, and for the next when the one before was charged."""
LEFT_NANO = 4_000_000 - HOLD_NANO
KEY = KeyRef(project_id="project-1", key_id="key-1", key_name="checkout")


def stopped(ledger: Ledger, *requests: HoldRequest) -> dict[str, Any]:
    """The answer to the last of them, which must be a refusal."""
    answer = ledger.hold(*requests)[-1]
    assert answer["status"] == "refused", answer
    return answer


def figures(refusal: dict[str, Any]) -> tuple[int, int, bool]:
    """What is left, what is held, and whether that alone is in the way."""
    return refusal["left_nano"], refusal["held_nano"], refusal["passing"]


def test_a_bucket_that_running_requests_have_taken_passes_when_they_have_ended(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", ENOUGH)
    first = hold_for("a")
    ledger.held(first)
    refusal = stopped(ledger, hold_for("a"))
    assert (refusal["code"], refusal["http_status"]) == ("insufficient_balance", 402)
    assert figures(refusal) == (LEFT_NANO, HOLD_NANO, True)
    assert "0.00225 USD is held by requests that are still running; try again when they have ended" in refusal["message"]
    ledger.complete(completion(first))
    ledger.held(hold_for("a"))


def test_a_bucket_that_is_too_small_without_them_stays_as_it_was(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", ENOUGH)
    first = hold_for("a")
    ledger.held(first)
    ledger.complete(completion(first))
    ledger.held(hold_for("a"))
    assert figures(stopped(ledger, hold_for("a", max_output_tokens=200))) == (LEFT_NANO - CHARGE_NANO, HOLD_NANO, False)


@pytest.mark.parametrize(
    ("kind", "entity", "window", "status"),
    [("account", "a", "day", 429), ("project", "project-1", "month", 429), ("key", "key-1", "total", 402)],
)
def test_a_limit_that_running_requests_have_taken_passes_when_they_have_ended(
    ledger: Ledger, kind: str, entity: str, window: str, status: int
) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", kind, entity, window, ENOUGH)
    first = hold_for("a")
    ledger.held(first)
    refusal = stopped(ledger, hold_for("a"))
    assert (refusal["http_status"], refusal["envelope"]) == (status, {"kind": kind, "id": entity, "window": window})
    assert figures(refusal) == (LEFT_NANO, HOLD_NANO, True)
    ledger.complete(completion(first))
    ledger.held(hold_for("a"))
    spent = stopped(ledger, hold_for("a", max_output_tokens=200))
    assert figures(spent) == (4_000_000 - CHARGE_NANO - HOLD_NANO, HOLD_NANO, False)


def test_holds_of_the_same_batch_are_in_the_way_too(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.005")
    ledger.limit("a", "key", "key-2", "total", "1")
    assert figures(stopped(ledger, *(hold_for("a") for _ in range(3)))) == (500_000, 2 * HOLD_NANO, True)


def test_one_limit_that_is_spent_keeps_what_others_only_hold_from_passing(ledger: Ledger) -> None:
    """The total is too small while others run, the day for good: the day is what has to be waited for."""
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", "account", "a", "total", "0.003")
    ledger.limit("a", "key", "key-1", "day", "0.002")
    ledger.held(hold_for("a", max_output_tokens=10))
    refusal = stopped(ledger, hold_for("a"))
    assert (refusal["http_status"], refusal["envelope"]["window"]) == (429, "day")
    assert refusal["passing"] is False
    assert refusal["resets_at"] in refusal["message"]


def test_a_bucket_that_running_requests_have_taken_does_not_pass_where_a_limit_is_spent(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.003")
    ledger.limit("a", "key", "key-1", "day", "0.002")
    ledger.held(hold_for("a", max_output_tokens=10))
    refusal = stopped(ledger, hold_for("a"))
    assert (refusal["code"], refusal["passing"]) == ("insufficient_balance", False)


def test_a_debt_does_not_pass_when_running_requests_end(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.005")
    dear, running = hold_for("a", max_output_tokens=0, input_tokens_bound=0), hold_for("a")
    ledger.held(dear)
    ledger.held(running)
    ledger.complete(completion(dear, attempts=[attempt_on(dear, usage=Usage(output_tokens=900))]))
    refusal = stopped(ledger, hold_for("a"))
    assert refusal["left_nano"] < 0
    assert refusal["passing"] is False
    assert refusal["held_nano"] == HOLD_NANO


@pytest.mark.parametrize("reserve", [True, False])
def test_a_runs_budget_that_its_requests_have_taken_passes_when_they_have_ended(ledger: Ledger, reserve: bool) -> None:
    ledger.top_up("a", "credit", "1")
    run_id = ledger.open_run("a", KEY, {"credit": ENOUGH}, reserve=reserve)
    first = hold_for("a", run_id=run_id, key=KEY)
    ledger.held(first)
    refusal = stopped(ledger, hold_for("a", run_id=run_id, key=KEY))
    assert figures(refusal) == (LEFT_NANO, HOLD_NANO, True)
    assert "try again when they have ended, or extend the run to go on" in refusal["message"]
    ledger.complete(completion(first))
    ledger.held(hold_for("a", run_id=run_id, key=KEY))


def test_a_cost_centre_passes_as_its_limit_does(ledger: Ledger) -> None:
    ledger.cost_centre("a", "credit", ENOUGH)
    ledger.held(hold_for("a"))
    assert figures(stopped(ledger, hold_for("a"))) == (LEFT_NANO, HOLD_NANO, True)
    ledger.limit("a", "bucket", "credit", "month", None)
    unfunded = stopped(ledger, hold_for("a"))
    assert (unfunded["left_nano"], unfunded["held_nano"], unfunded["passing"]) == (0, None, False)


def test_a_refusal_asked_for_again_and_its_receipt_tell_the_same(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", ENOUGH)
    ledger.held(hold_for("a"))
    second = hold_for("a")
    refusal = stopped(ledger, second)
    assert stopped(ledger, second) == refusal
    told = ledger.receipt("a", second.request_id)["refusal"]
    assert (told["left_nano"], told["held_nano"], told["message"]) == (LEFT_NANO, HOLD_NANO, refusal["message"])


def test_what_is_refused_for_another_reason_tells_no_holds(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1")
    refusal = stopped(ledger, hold_for("a", run_id="run_unknown"))
    assert (refusal["held_nano"], refusal["passing"]) == (None, False)


def test_the_release_before_goes_on_placing_holds_under_the_old_name(ledger: Ledger) -> None:
    """While an upgrade replaces its processes, they call the function as they know it."""
    ledger.top_up("a", "credit", ENOUGH)
    book = ledger.books.in_force
    orders = [HoldOrder(hold_for("a"), book, None), HoldOrder(hold_for("a"), book, None)]
    arrays = HoldArrays(orders, version=book.version, default_output=4096, floor_output=256)
    old = str(statement("place_holds")).replace("decide_holds(", "place_holds(")
    row = ledger.connection.execute(old.encode(), arrays.parameters).fetchone()
    assert row is not None
    states, amounts, caps, codes, envelopes, windows, needed, left, resets = row
    assert (states, amounts, caps) == (["HELD", "REFUSED"], [HOLD_NANO, 0], [100, 0])
    assert (codes, needed, left) == ([None, "insufficient_balance"], [None, HOLD_NANO], [None, LEFT_NANO])
    assert envelopes == windows == resets == [None, None]
