"""The hold function on a real database."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.calls import HoldBatchResult, HoldProgress, ProgressBatch
from schemas.control import ControlRecord
from schemas.envelope import new_id
from schemas.money import Prices, hold_nano
from schemas.requests import KeyRef
from services.settlement.book_store import BookStore
from services.settlement.hold_progress import renew
from services.settlement.hold_store import HoldLane
from services.settlement.price_file import parse_book
from services.settlement.pricebook import BookDocument
from tests.integration.settlement.ledger import PRICES, Ledger
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

GPT_4O = Prices.parse("2.5", "10", "1.25")
DEAR = '\n  - {route_type: direct, model: dear, currency: USD, input: "1", output: "200000"}\n'


def test_a_hold_covers_its_bounds_and_nothing_more(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    answer = ledger.held(hold_for("a", input_tokens_bound=777, max_output_tokens=33, choices=3))
    assert answer["amount_nano"] == hold_nano(GPT_4O, 777, 99)
    assert answer["output_cap"] == 33
    assert ledger.balance("a") == (10_000_000_000, answer["amount_nano"])
    ledger.assert_sound()


def test_the_dearest_candidate_of_the_bucket_is_held_and_the_others_are_not_covered(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    request = hold_for(
        "a",
        candidates=[candidate(model="gpt-4o-mini"), candidate(model="gpt-4o"), candidate("pooled"), candidate(model="none")],
    )
    answer = ledger.held(request)
    assert answer["amount_nano"] == hold_nano(GPT_4O, 500, 100)
    assert answer["covered"] == [True, True, False, False]
    assert [price is not None for price in answer["prices"]] == [True, True, False, False]


def test_the_clients_cap_is_kept_within_the_models_maximum(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1000")
    answer = ledger.held(hold_for("a", max_output_tokens=99_999, model_max_output_tokens=2000))
    assert answer["output_cap"] == 2000


def test_without_a_cap_the_default_is_held(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1000")
    assert ledger.held(hold_for("a", max_output_tokens=None))["output_cap"] == 4096


def test_without_a_cap_no_request_takes_more_than_a_quarter_of_what_is_free(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.08")
    answer = ledger.held(hold_for("a", max_output_tokens=None))
    assert answer["amount_nano"] <= 20_000_000
    assert answer["output_cap"] == (20_000_000 * 10**6 - 500 * GPT_4O.input) // GPT_4O.output
    assert ledger.held(hold_for("a", max_output_tokens=None))["output_cap"] > 256


def test_without_a_cap_the_floor_is_held_where_it_can_be_paid_and_else_what_the_rest_buys(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.0052")
    assert ledger.held(hold_for("a", max_output_tokens=None))["output_cap"] == 256
    rest = ledger.held(hold_for("a", max_output_tokens=None))
    assert (rest["output_cap"], rest["amount_nano"]) == (14, 1_390_000)
    refusal = ledger.hold(hold_for("a", max_output_tokens=None))[0]
    assert (refusal["code"], refusal["http_status"]) == ("insufficient_balance", 402)
    assert refusal["needed_nano"] == hold_nano(GPT_4O, 500, 1)
    ledger.assert_sound()


def test_without_a_cap_the_last_token_of_each_choice_is_affordable_and_less_is_not(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.00128")
    assert ledger.held(hold_for("a", max_output_tokens=None, choices=3))["output_cap"] == 1
    ledger.top_up("b", "credit", "0.001279999")
    assert ledger.hold(hold_for("b", max_output_tokens=None, choices=3))[0]["needed_nano"] == 1_280_000


def test_without_a_cap_many_choices_of_a_dear_model_are_not_refused_for_the_default(ledger: Ledger) -> None:
    """4,096 tokens for each of 128 choices would be worth more than a hold can be: some tokens are not."""
    ledger.publish(PRICES.read_text("utf-8") + DEAR)
    ledger.top_up("a", "credit", "9000")
    answer = ledger.held(hold_for("a", max_output_tokens=None, choices=128, candidates=[candidate(model="dear")]))
    assert answer["output_cap"] == 256
    assert answer["amount_nano"] <= 9_000_000_000_000


def test_a_limit_bounds_the_cap_too(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1000")
    ledger.limit("a", "key", "key-1", "day", "0.08")
    assert ledger.held(hold_for("a", max_output_tokens=None))["amount_nano"] <= 20_000_000


def test_a_refusal_names_the_bucket_what_was_needed_and_what_was_left(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.001")
    refusal = ledger.hold(hold_for("a"))[0]
    assert refusal["envelope"] == {"kind": "bucket", "id": "credit", "window": None}
    assert (refusal["needed_nano"], refusal["left_nano"]) == (2_250_000, 1_000_000)
    assert "credit" in refusal["message"]
    assert "0.00225 USD needed" in refusal["message"]
    assert "0.001 USD left" in refusal["message"]


@pytest.mark.parametrize(
    ("kind", "entity", "window", "status"),
    [("key", "key-1", "day", 429), ("project", "project-1", "month", 429), ("account", "a", "total", 402)],
)
def test_a_refusal_names_the_envelope_and_when_it_resets(
    ledger: Ledger, kind: str, entity: str, window: str, status: int
) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", kind, entity, window, "0.003")
    ledger.held(hold_for("a"))
    refusal = ledger.hold(hold_for("a"))[0]
    assert refusal["http_status"] == status
    assert refusal["code"] == "budget_exceeded"
    assert refusal["envelope"] == {"kind": kind, "id": entity, "window": window}
    assert refusal["left_nano"] == 750_000
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    resets = {"day": today + timedelta(days=1), "month": first, "total": None}[window]
    assert refusal["resets_at"] == (resets.isoformat().replace("+00:00", "Z") if resets else None)


def test_all_envelopes_pass_or_none_changes(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", "project", "project-1", "day", "5")
    ledger.limit("a", "key", "key-1", "month", "0.001")
    assert ledger.hold(hold_for("a"))[0]["status"] == "refused"
    assert ledger.balance("a") == (10_000_000_000, 0)
    assert [row["held"] for row in ledger.rows("select held from envelope_window")] == [0, 0]


def test_a_limit_of_one_key_does_not_stop_another(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", "key", "key-1", "day", "0")
    other = hold_for("a", key=KeyRef(project_id="project-1", key_id="key-2"))
    answers = ledger.hold(hold_for("a"), other)
    assert [answer["status"] for answer in answers] == ["refused", "held"]


def test_a_limit_in_one_currency_does_not_stop_another(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.top_up("a", "wallet", "10")
    ledger.limit("a", "key", "key-1", "day", "0", currency="CNY")
    answers = ledger.hold(hold_for("a"), hold_for("a", candidates=[candidate("pooled")]))
    assert [answer["status"] for answer in answers] == ["held", "refused"]


def test_holds_of_a_batch_are_independent_and_answered_in_order(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.005")
    answers = ledger.hold(hold_for("a"), hold_for("b"), hold_for("a"), hold_for("a"), hold_for("a", max_output_tokens=1))
    assert [answer["status"] for answer in answers] == ["held", "refused", "held", "refused", "refused"]
    ledger.assert_sound()


def test_asking_again_gives_the_same_answer_and_holds_once(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.003")
    granted, refused, unpriced = hold_for("a"), hold_for("a"), hold_for("a", candidates=[candidate(model="none")])
    first = ledger.hold(granted, refused, unpriced)
    ledger.top_up("a", "credit", "100")
    assert ledger.hold(granted, refused, unpriced, hold_for("a"))[:3] == first
    assert ledger.hold(unpriced, granted) == [first[2], first[0]]
    assert [answer["status"] for answer in first] == ["held", "refused", "refused"]
    assert ledger.count("hold") == 4
    ledger.assert_sound()


def test_one_id_twice_in_a_batch_is_one_hold(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    request = hold_for("a")
    first, second = ledger.hold(request, request)
    assert first == second
    assert ledger.count("hold") == 1


def test_an_id_of_another_request_is_a_conflict(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    request = hold_for("a")
    ledger.held(request)
    conflict = ledger.hold(request.model_copy(update={"request_id": new_id()}))[0]
    assert (conflict["http_status"], conflict["code"]) == (409, "hold_id_conflict")


def test_every_answer_fits_the_contract(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1")
    ledger.limit("a", "key", "key-1", "day", "0.003")
    answers = ledger.hold(hold_for("a"), hold_for("a"), hold_for("b"), hold_for("a", candidates=[candidate(model="none")]))
    assert len(HoldBatchResult.model_validate({"results": answers}).results) == 4


@pytest.mark.parametrize(("kind", "entity"), [("account", "a"), ("project", "project-1"), ("key", "key-1")])
def test_what_is_frozen_gets_no_hold_until_it_is_thawed(ledger: Ledger, kind: str, entity: str) -> None:
    ledger.top_up("a", "credit", "10")
    why = "rule runaway, alert 0199: 400,000 tokens/min exceeded 200,000"
    record = {"kind": kind, "entity_id": entity, "version": 2, "frozen": True, "reason": why}
    ledger.frozen.apply(ControlRecord.model_validate(record))
    request = hold_for("a")
    refusal = ledger.hold(request)[0]
    assert f"the {kind} {entity} is frozen by an alert ({why})" in refusal["message"]
    assert ledger.hold(request)[0] == refusal
    assert (refusal["http_status"], refusal["code"]) == (403, f"{kind}_frozen")
    assert refusal["envelope"] == {"kind": kind, "id": entity, "window": None}
    ledger.frozen.apply(ControlRecord.model_validate({**record, "version": 1, "frozen": False}))
    assert ledger.hold(hold_for("a"))[0]["code"] == f"{kind}_frozen"
    ledger.frozen.apply(ControlRecord.model_validate({**record, "version": 3, "frozen": False}))
    ledger.held(hold_for("a"))


def test_bounds_beyond_sixty_four_bits_are_refused_and_cost_the_others_nothing(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    huge = hold_for("a", input_tokens_bound=10**12, max_output_tokens=None, model_max_output_tokens=10**12, choices=128)
    answers = ledger.hold(huge, hold_for("a"))
    assert [answer["status"] for answer in answers] == ["refused", "held"]
    assert answers[0]["code"] == "insufficient_balance"


def test_names_with_quotes_braces_and_backslashes_are_kept_as_they_are(ledger: Ledger) -> None:
    account = 'a"{b},\\c ,NULL'
    ledger.top_up(account, "credit", "10")
    key = KeyRef(project_id="NULL", key_id='k"\\', key_name="naïve {x}")
    request = hold_for(account, key=key, tags={"feature": 'a"b\\'})
    ledger.held(request)
    receipt = ledger.receipt(account, request.request_id)
    assert (receipt["project_id"], receipt["key_id"], receipt["key_name"]) == ("NULL", 'k"\\', "naïve {x}")
    assert receipt["tags"] == {"feature": 'a"b\\'}


def test_a_new_price_book_is_used_by_the_next_hold_and_not_by_those_before(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    before = hold_for("a")
    assert ledger.held(before)["price_version"] == 1
    BookStore(ledger.books._connect).publish(doubled_prices())  # by another process: this one has not heard of it
    after = ledger.held(hold_for("a"))
    assert after["price_version"] == 2
    assert after["amount_nano"] == 2 * 2_250_000
    ledger.complete(completion(before))
    assert ledger.receipt("a", before.request_id)["charge"]["price_version"] == 1
    assert ledger.receipt("a", before.request_id)["charge"]["amount"] == "0.001375"


def test_a_limit_set_late_counts_what_was_spent_and_held_before(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    spent, open_hold, other = hold_for("a"), hold_for("a"), hold_for("a", key=KeyRef(project_id="project-1", key_id="key-2"))
    ledger.hold(spent, open_hold, other)
    ledger.complete(completion(spent))
    ledger.limit("a", "key", "key-1", "day", "5")
    ledger.limit("a", "project", "project-1", "total", "5")
    windows = ledger.rows("select held, spent from envelope_window order by id")
    assert windows == [{"held": 2_250_000, "spent": 1_375_000}, {"held": 4_500_000, "spent": 1_375_000}]
    ledger.complete(completion(open_hold), completion(other))
    windows = ledger.rows("select held, spent from envelope_window order by id")
    assert windows == [{"held": 0, "spent": 2_750_000}, {"held": 0, "spent": 4_125_000}]
    ledger.assert_sound()


def test_a_limit_below_what_is_spent_breaks_nothing_and_lets_nothing_new_pass(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    ledger.limit("a", "key", "key-1", "day", "5")
    first = hold_for("a")
    ledger.held(first)
    ledger.limit("a", "key", "key-1", "day", "0.001")
    refusal = ledger.hold(hold_for("a"))[0]
    assert refusal["left_nano"] == 1_000_000 - 2_250_000
    ledger.complete(completion(first))
    ledger.limit("a", "key", "key-1", "day", None)
    ledger.held(hold_for("a"))
    ledger.assert_sound()


def test_progress_renews_open_holds_and_names_those_that_ended(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10")
    request, ended = hold_for("a", deadline_at=datetime.now(UTC)), hold_for("a")
    ledger.hold(request, ended)
    ledger.complete(completion(ended, charged=None, attempts=[attempt_on(ended, outcome="failed")]))
    unknown = new_id()
    closed = renewed(ledger, [request.hold_id, ended.hold_id, unknown], output=70)
    assert set(closed) == {ended.hold_id, unknown}
    assert ledger.expire(request.hold_id) == 0
    assert ledger.rows("select progress_output from hold where id = %s", request.hold_id) == [{"progress_output": 70}]


@pytest.mark.parametrize("limited", [False, True])
def test_thirty_two_concurrent_clients_never_overspend_one_wallet(ledger: Ledger, limited: bool) -> None:
    ledger.top_up("a", "credit", "1")
    if limited:
        ledger.limit("a", "account", "a", "day", "0.5")
        ledger.limit("a", "key", "key-1", "total", "0.25")
    answers = asyncio.run(storm(ledger, clients=32, rounds=20))
    granted = sum(answer["amount_nano"] for answer in answers if answer["status"] == "held")
    allowed = 250_000_000 if limited else 1_000_000_000
    assert allowed - 2_000_000 < granted <= allowed
    assert ledger.balance("a") == (1_000_000_000, granted)
    ledger.assert_sound()


async def storm(ledger: Ledger, *, clients: int, rounds: int) -> list[dict[str, Any]]:
    """Every client its own connection, each asking for holds of random sizes, in batches of random size."""
    lanes = [
        HoldLane(
            ledger.url,
            books=ledger.books,
            stop=ledger.frozen.stop,
            default_output=4096,
            floor_output=256,
            timeout_ms=20_000,
        )
        for _ in range(clients)
    ]

    async def client(number: int, lane: HoldLane) -> list[dict[str, Any]]:
        dice = random.Random(number)
        answers = []
        for _ in range(rounds):
            batch = [hold_for("a", max_output_tokens=dice.randint(1, 200)) for _ in range(dice.randint(1, 3))]
            answers += await lane.place(batch)
        await lane.close()
        return answers

    found = await asyncio.gather(*[client(number, lane) for number, lane in enumerate(lanes)])
    return [answer for answers in found for answer in answers]


def renewed(ledger: Ledger, ids: list[UUID], *, output: int) -> list[UUID]:
    """Which of the holds are not open; the others live five minutes more."""
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    batch = ProgressBatch(
        holds=[HoldProgress(hold_id=each, deadline_at=deadline, input_tokens=1, output_tokens=output) for each in ids]
    )
    return renew(ledger.connection, batch)


def doubled_prices() -> BookDocument:
    """The catalog's book with gpt-4o at twice its price."""
    old = 'model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", output: "10"'
    new = 'model: gpt-4o, currency: USD, input: "5", cached_input: "2.5", output: "20"'
    text = PRICES.read_text("utf-8")
    assert old in text
    return parse_book(text.replace(old, new))
