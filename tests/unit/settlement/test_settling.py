"""What a completion does to the ledger, decided without one."""

from typing import Any
from uuid import UUID

import pytest

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import new_id
from schemas.money import Usage
from services.settlement.errors import PoisonError
from services.settlement.price_file import parse_book
from services.settlement.pricebook import PriceBook
from services.settlement.settling import AMOUNT_BOUND_NANO, CaseDraft, HoldRow, Settlement, decide, forged, repeated
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

BOOK = parse_book(
    """
buckets:
  - {id: credit, currency: USD, route_types: [direct]}
  - {id: wallet, currency: CNY, route_types: [pooled]}
prices:
  - {route_type: direct, model: gpt-4o, currency: USD, input: "2.5", output: "10"}
  - {route_type: pooled, model: gpt-4o, currency: CNY, input: "13.75", output: "55"}
"""
).as_book(1)
CHARGE = 1_375_000


def row_of(request: HoldRequest, *, state: str = "HELD", captured_nano: int = 0) -> HoldRow:
    """The hold as the ledger has it."""
    bucket = BOOK.buckets[request.candidates[0].route_type]
    return HoldRow(
        id=request.hold_id,
        request_id=request.request_id,
        holder=request.account_id,
        project_id="p",
        key_id="k",
        bucket=bucket.id,
        currency=bucket.currency,
        account=1,
        state=state,
        amount_nano=2_250_000,
        captured_nano=captured_nano,
        price_version=1,
        windows=[],
    )


def book_of(version: int) -> PriceBook | None:
    return BOOK if version == 1 else None


def decided(event: RequestCompleted, *rows: HoldRow) -> Settlement:
    return decide(event, {row.id: row for row in rows}, book_of)


def test_the_charged_attempt_is_priced_at_its_own_model() -> None:
    request = hold_for("a")
    row = row_of(request)
    settlement = decided(completion(request), row)
    assert settlement.kind == "capture"
    assert settlement.capture is not None
    assert settlement.capture.nano == CHARGE
    assert row.state == "CAPTURED"


def test_usage_above_the_hold_is_a_case_of_what_exceeds_it() -> None:
    request = hold_for("a")
    row = row_of(request)
    row.amount_nano = CHARGE - 75_000
    found = decided(completion(request), row)
    assert found.capture is not None
    assert [(case.kind, case.exposure_nano) for case in found.cases] == [("overrun", 75_000)]


def test_the_other_holds_of_the_request_are_released_once() -> None:
    first = hold_for("a")
    second = hold_for("a", request_id=first.request_id, candidates=[candidate("pooled")])
    rows = [row_of(first), row_of(second)]
    attempts = [attempt_on(first, outcome="failed"), attempt_on(second, 2)]
    ids = [first.hold_id, second.hold_id, first.hold_id]
    settlement = decided(completion(first, attempts=attempts, charged=2, hold_ids=ids), *rows)
    assert settlement.releases == (rows[0],)
    assert [row.state for row in rows] == ["RELEASED", "CAPTURED"]


def test_a_request_that_is_not_charged_releases_all_its_holds() -> None:
    request = hold_for("a")
    settlement = decided(completion(request, charged=None), row_of(request))
    assert (settlement.kind, settlement.capture, len(settlement.releases)) == ("release", None, 1)


@pytest.mark.parametrize("state", ["CAPTURED", "RELEASED", "EXPIRED", "REFUSED"])
def test_a_hold_is_never_released_twice(state: str) -> None:
    request = hold_for("a")
    assert decided(completion(request, charged=None), row_of(request, state=state)).releases == ()


def test_another_requests_hold_is_never_released() -> None:
    request, other = hold_for("a"), hold_for("a")
    event = completion(request, charged=None, hold_ids=[request.hold_id, other.hold_id])
    row = row_of(other)
    assert row not in decided(event, row_of(request), row).releases
    assert row.state == "HELD"


@pytest.mark.parametrize(("captured", "late"), [(0, CHARGE), (1_000_000, 375_000), (CHARGE, 0), (2_000_000, 0)])
def test_usage_after_expiry_is_late_by_what_was_not_charged(captured: int, late: int) -> None:
    request = hold_for("a")
    settlement = decided(completion(request), row_of(request, state="EXPIRED", captured_nano=captured))
    assert (settlement.kind, settlement.late_nano, settlement.capture) == ("late_usage", late, None)


@pytest.mark.parametrize("state", ["CAPTURED", "RELEASED", "REFUSED"])
def test_usage_on_a_hold_that_ended_is_a_case(state: str) -> None:
    request = hold_for("a")
    settlement = decided(completion(request), row_of(request, state=state))
    assert settlement.capture is None
    assert [(case.kind, case.exposure_nano) for case in settlement.cases] == [("usage_after_end", CHARGE)]


def test_usage_on_an_unknown_hold_is_a_case() -> None:
    settlement = decided(completion(hold_for("a"), cost_nano=5, currency="USD"))
    assert [(case.kind, case.exposure_nano) for case in settlement.cases] == [("unknown_hold", 5)]


def test_costs_are_added_up_per_channel_and_currency() -> None:
    request = hold_for("a")
    usd: dict[str, Any] = {"operator_cost_nano": 3, "operator_cost_currency": "USD"}
    attempts = [
        attempt_on(request, outcome="failed", **usd),
        attempt_on(request, 2, outcome="failed", channel="backup", **usd),
        attempt_on(request, 3, **usd),
        attempt_on(request, 4, operator_cost_nano=0, operator_cost_currency="USD"),
    ]
    settlement = decided(completion(request, attempts=attempts, charged=3), row_of(request))
    assert [(cost.channel, cost.nano) for cost in settlement.costs] == [("openai-main", 6), ("backup", 3)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"upstream_model": "none"}, "unpriced"),
        ({"route_type": "subscription"}, "unpriced"),
        ({"route_type": "pooled"}, "wrong_bucket"),
        ({"usage": Usage(output_tokens=10**12)}, None),
        ({"operator_cost_nano": 2**62, "operator_cost_currency": "USD"}, "amount_out_of_range"),
    ],
)
def test_an_event_that_cannot_be_priced_changes_nothing(change: dict[str, Any], reason: str | None) -> None:
    request = hold_for("a")
    row = row_of(request)
    event = completion(request, attempts=[attempt_on(request, **change)])
    if reason is None:
        assert decided(event, row).kind == "capture"
        return
    with pytest.raises(PoisonError) as poison:
        decided(event, row)
    assert poison.value.reason == reason
    assert row.state == "HELD"


def test_a_charged_attempt_that_is_not_listed_is_inconsistent() -> None:
    request = hold_for("a")
    with pytest.raises(PoisonError, match="inconsistent"):
        decided(completion(request, charged=2), row_of(request))


def test_a_hold_of_an_unknown_price_version_is_unpriced() -> None:
    request = hold_for("a")
    row = row_of(request)
    row.price_version = 9
    with pytest.raises(PoisonError, match="unpriced"):
        decided(completion(request), row)


def test_every_transaction_has_an_id_of_its_own() -> None:
    made: set[UUID] = {decided(completion(hold_for("a"), charged=None)).txn_id for _ in range(3)}
    assert len(made | {new_id()}) == 4


def facts(case: CaseDraft) -> tuple[object, ...]:
    """Everything of a case but its id."""
    return (case.kind, case.detail, case.holder, case.request_id, case.hold_id, case.currency, case.exposure_nano)


def test_a_case_says_whose_it_is_and_what_is_exposed() -> None:
    request = hold_for("a")
    who = ("a", request.request_id, request.hold_id, "USD")
    row = row_of(request, state="RELEASED")
    found = decided(completion(request), row).cases
    assert [facts(case) for case in found] == [("usage_after_end", "the hold had ended before as RELEASED", *who, CHARGE)]
    row = row_of(request)
    row.amount_nano = CHARGE - 1
    detail = "the provider counted more than the hold's bound allows"
    assert [facts(case) for case in decided(completion(request), row).cases] == [("overrun", detail, *who, 1)]
    row = row_of(request)
    row.amount_nano = CHARGE
    assert decided(completion(request), row).cases == ()


@pytest.mark.parametrize(("change", "what"), [(None, "is not in the ledger"), ("holder", "belongs"), ("request_id", "belongs")])
def test_a_hold_that_is_not_the_requests_is_not_charged(change: str | None, what: str) -> None:
    request = hold_for("a")
    row = row_of(request)
    if change == "holder":
        row.holder = "b"
    elif change:
        row.request_id = new_id()
    rows = [] if change is None else [row]
    settlement = decided(completion(request, cost_nano=5, currency="USD"), *rows)
    assert (settlement.kind, settlement.capture, settlement.late, settlement.releases) == ("release", None, None, ())
    full = what if change is None else "belongs to another request"
    detail = f"the charged attempt's hold {request.hold_id} {full}; nothing was charged"
    assert [facts(case) for case in settlement.cases] == [
        ("unknown_hold", detail, "a", request.request_id, request.hold_id, "USD", 5)
    ]
    assert row.state == "HELD"


@pytest.mark.parametrize("change", ["holder", "request_id"])
def test_a_listed_hold_of_somebody_else_is_left_alone(change: str) -> None:
    request = hold_for("a")
    row = row_of(request)
    if change == "holder":
        row.holder = "b"
    else:
        row.request_id = new_id()
    assert decided(completion(request, charged=None), row).releases == ()


def test_a_hold_that_is_not_known_does_not_keep_others_from_their_release() -> None:
    request = hold_for("a")
    row = row_of(request)
    ended = row_of(hold_for("a", request_id=request.request_id), state="EXPIRED")
    event = completion(request, charged=None, hold_ids=[new_id(), ended.id, row.id])
    assert decided(event, row, ended).releases == (row,)


def test_each_kind_of_settlement_has_its_status() -> None:
    request = hold_for("a")
    found = [
        decided(completion(request), row_of(request)),
        decided(completion(request, charged=None), row_of(request)),
        decided(completion(request), row_of(request, state="EXPIRED")),
    ]
    assert [(each.kind, each.status) for each in found] == [
        ("capture", "settled"),
        ("release", "released"),
        ("late_usage", "expired"),
    ]
    assert [each.late_nano for each in found] == [0, 0, CHARGE]
    assert found[0].capture is not None
    assert found[0].capture.attempt.hold_id == request.hold_id
    assert found[2].late is not None
    assert found[2].late.hold.state == "EXPIRED"


def test_costs_are_added_up_in_each_currency() -> None:
    request = hold_for("a")
    attempts = [
        attempt_on(request, outcome="failed", operator_cost_nano=3),
        attempt_on(request, 2, outcome="failed", operator_cost_nano=4, operator_cost_currency="CNY"),
        attempt_on(request, 3, operator_cost_nano=1, operator_cost_currency="USD"),
    ]
    settlement = decided(completion(request, attempts=attempts, charged=3), row_of(request))
    assert [(cost.channel, cost.currency, cost.nano) for cost in settlement.costs] == [
        ("openai-main", "CNY", 4),
        ("openai-main", "USD", 1),
    ]


def test_no_amount_beyond_a_billion_units_is_posted() -> None:
    request = hold_for("a")
    cost: dict[str, Any] = {"operator_cost_nano": AMOUNT_BOUND_NANO, "operator_cost_currency": "USD"}
    settlement = decided(completion(request, attempts=[attempt_on(request, **cost)]), row_of(request))
    assert [each.nano for each in settlement.costs] == [AMOUNT_BOUND_NANO]
    cost["operator_cost_nano"] += 1
    with pytest.raises(PoisonError) as poison:
        decided(completion(request, attempts=[attempt_on(request, **cost)]), row_of(request))
    assert (poison.value.reason, poison.value.detail) == (
        "amount_out_of_range",
        "the usage amounts to more than any balance can be",
    )


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"upstream_model": "none"}, "unpriced", "none on direct has no price in book 1"),
        ({"route_type": "pooled"}, "wrong_bucket", "pooled is paid from wallet, the hold is on credit"),
    ],
)
def test_poison_says_what_does_not_fit(change: dict[str, Any], reason: str, detail: str) -> None:
    request = hold_for("a")
    with pytest.raises(PoisonError) as poison:
        decided(completion(request, attempts=[attempt_on(request, **change)]), row_of(request))
    assert (poison.value.reason, poison.value.detail) == (reason, detail)


def test_a_hold_in_another_currency_is_poison() -> None:
    request = hold_for("a")
    row = row_of(request)
    row.currency = "EUR"
    with pytest.raises(PoisonError, match="wrong_bucket"):
        decided(completion(request), row)


def test_an_attempt_that_is_not_listed_is_named() -> None:
    request = hold_for("a")
    with pytest.raises(PoisonError) as poison:
        decided(completion(request, charged=2), row_of(request))
    assert (poison.value.reason, poison.value.detail) == ("inconsistent", "attempt 2 is charged but not listed")


def test_the_cases_of_events_that_come_again() -> None:
    event = completion(hold_for("a"))
    again, other = forged(event, "t:0:1"), forged(event, "t:0:2")
    detail = f"event {event.event_id} came again with another payload; nothing was posted"
    assert facts(again) == ("payload_mismatch", detail, "a", event.request_id, None, None, None)
    assert again.id == forged(event, "t:0:1").id != other.id
    detail = f"event {event.event_id} completes a request that was settled before; nothing was posted"
    assert facts(repeated(event)) == ("second_completion", detail, "a", event.request_id, None, None, None)


def _with_failure(also: list[int], *, other_hold: bool = False) -> tuple[RequestCompleted, HoldRow, HoldRow]:
    """A request whose first attempt failed and burned tokens, under the same hold as its second or under another."""
    request = hold_for("a")
    second = hold_for("a", request_id=request.request_id)
    row, other = row_of(request), row_of(second)
    failed = attempt_on(second if other_hold else request, outcome="failed", error_class="upstream_error")
    answered = attempt_on(request, 2)
    event = completion(request, attempts=[failed, answered], charged=2, also_charged=also)
    return event, row, other


def test_a_failed_attempt_is_charged_only_where_the_completion_says_so_and_each_is_rounded_by_itself() -> None:
    for also, times in (([], 1), ([1], 2)):
        event, row, other = _with_failure(also)
        settlement = decided(event, row, other)
        assert settlement.capture is not None
        assert settlement.capture.nano == CHARGE * times


@pytest.mark.parametrize(("also", "other_hold"), [([1], True), ([1, 1], False), ([2], False), ([7], False)])
def test_an_attempt_is_charged_once_and_by_the_hold_that_pays(also: list[int], *, other_hold: bool) -> None:
    event, row, other = _with_failure(also, other_hold=other_hold)
    with pytest.raises(PoisonError) as caught:
        decided(event, row, other)
    assert caught.value.reason == "inconsistent"
    assert (row.state, other.state) == ("HELD", "HELD")
