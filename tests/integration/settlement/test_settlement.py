"""The settlement transaction on a real database: each event once, whatever is delivered how often."""

from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest

from schemas import registry, topics
from schemas.attempts import Fallback
from schemas.envelope import new_id, now
from schemas.money import Usage
from services.settlement.database import connect
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, candidate, completion, hold_for

CHARGE = 1_375_000
HOLD = 2_250_000


def test_a_capture_charges_the_attempt_and_gives_the_rest_back(funded: Ledger) -> None:
    funded.limit("a", "key", "key-1", "day", "5")
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request))
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    assert funded.rows("select held, spent, overrun from envelope_window") == [{"held": 0, "spent": CHARGE, "overrun": 0}]
    funded.assert_sound()


def test_a_failed_request_releases_its_hold_and_costs_nothing(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request, charged=None, attempts=[attempt_on(request, outcome="failed", error_class="timeout")]))
    assert funded.balance("a") == (10_000_000_000, 0)
    assert funded.receipt("a", request.request_id)["status"] == "released"
    funded.assert_sound()


def test_a_free_answer_is_a_transaction_without_postings(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request, attempts=[attempt_on(request, usage=Usage())]))
    assert funded.rows("select count(*) as n from posting p join txn t on t.id = p.txn where t.kind = 'capture'") == [{"n": 0}]
    assert funded.receipt("a", request.request_id)["charge"]["amount"] == "0.00"
    funded.assert_sound()


def test_a_fallback_into_another_bucket_captures_there_and_releases_here(funded: Ledger) -> None:
    first = hold_for("a")
    second = hold_for("a", request_id=first.request_id, candidates=[candidate("pooled", channel="pool-a")])
    funded.hold(first, second)
    attempts = [attempt_on(first, outcome="failed", error_class="upstream_error"), attempt_on(second, 2)]
    fallback = Fallback(
        from_channel="openai-main",
        to_channel="pool-a",
        from_attempt=1,
        to_attempt=2,
        reason="upstream_error",
        crossed_bucket=True,
    )
    ids = [first.hold_id, second.hold_id]
    funded.complete(completion(first, attempts=attempts, charged=2, hold_ids=ids, fallbacks=[fallback]))
    assert funded.balance("a", "credit") == (10_000_000_000, 0)
    assert funded.balance("a", "wallet") == (10_000_000_000 - 7_562_500, 0)
    receipt = funded.receipt("a", first.request_id)
    assert [hold["state"] for hold in receipt["holds"]] == ["released", "captured"]
    assert (receipt["charge"]["bucket"], receipt["charge"]["currency"]) == ("wallet", "CNY")
    assert "another bucket pays" in " ".join(receipt["explanation"])
    funded.assert_sound()


def test_what_attempts_cost_the_operator_is_posted_per_channel(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    cost: dict[str, Any] = {"operator_cost_nano": 500, "operator_cost_currency": "USD"}
    attempts = [attempt_on(request, outcome="failed", error_class="timeout", **cost), attempt_on(request, 2, **cost)]
    funded.complete(completion(request, attempts=attempts, charged=2))
    rows = funded.rows(
        "select k.name, p.side, p.amount from posting p join account k on k.id = p.account where k.name like 'provider%%'"
        " order by k.name"
    )
    assert rows == [
        {"name": "provider_cost/openai-main/USD", "side": "debit", "amount": 1000},
        {"name": "provider_payable/openai-main/USD", "side": "credit", "amount": 1000},
    ]
    funded.assert_sound()


def test_a_repeated_event_posts_nothing(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request)
    funded.complete(event)
    for _ in range(3):
        funded.complete(event, event)
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    assert (funded.count("inbox"), funded.count("case")) == (1, 0)
    funded.assert_sound()


def test_an_event_twice_in_one_batch_posts_once(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request)
    funded.complete(event, event, event)
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    funded.assert_sound()


def test_the_same_id_with_another_payload_is_a_case_and_never_posted(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request)
    forged = completion(request, event_id=event.event_id, attempts=[attempt_on(request, usage=Usage(input_tokens=1))])
    funded.complete(event)
    funded.complete(forged)
    assert [row["kind"] for row in funded.rows('select kind from "case"')] == ["payload_mismatch"]
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    funded.assert_sound()


def test_a_second_completion_of_a_request_is_a_case_and_never_posted(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request), completion(request))
    funded.complete(completion(request, charged=None))
    assert [row["kind"] for row in funded.rows('select kind from "case"')] == ["second_completion"] * 2
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    funded.assert_sound()


@pytest.mark.parametrize("whose", ["nobody's", "another request's", "another account's"])
def test_usage_on_a_hold_that_is_not_the_requests_is_a_case_and_never_charged(funded: Ledger, whose: str) -> None:
    request = hold_for("a")
    funded.held(request)
    if whose == "nobody's":
        claimed = request.model_copy(update={"hold_id": new_id()})
    elif whose == "another request's":
        claimed = request.model_copy(update={"request_id": new_id()})
    else:
        claimed = request.model_copy(update={"account_id": "b"})
    funded.complete(completion(claimed, cost_nano=77, currency="USD"))
    assert funded.rows('select kind, holder, exposure_nano from "case"') == [
        {"kind": "unknown_hold", "holder": claimed.account_id, "exposure_nano": 77}
    ]
    assert funded.balance("a") == (10_000_000_000, HOLD)
    assert funded.receipt(claimed.account_id, claimed.request_id)["cases"][0]["kind"] == "unknown_hold"
    funded.assert_sound()


def test_an_overrun_takes_the_hold_then_what_is_available_then_is_owed(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.003")
    ledger.limit("a", "key", "key-1", "day", "5")
    request = hold_for("a")
    ledger.held(request)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=Usage(output_tokens=500))]))
    assert ledger.balance("a") == (0, 0)
    assert ledger.rows("select overrun from bucket_balance") == [{"overrun": 2_000_000}]
    assert ledger.rows("select spent, overrun from envelope_window") == [{"spent": 5_000_000, "overrun": 2_750_000}]
    charge = ledger.receipt("a", request.request_id)["charge"]
    assert (charge["amount"], charge["overrun_nano"], charge["released_nano"]) == ("0.005", 2_750_000, 0)
    ledger.assert_sound()


def test_an_overrun_freezes_new_holds_until_it_is_paid(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.003")
    request = hold_for("a")
    ledger.held(request)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=Usage(output_tokens=500))]))
    refusal = ledger.hold(hold_for("a", input_tokens_bound=0, max_output_tokens=0))[0]
    assert (refusal["code"], refusal["left_nano"]) == ("insufficient_balance", -2_000_000)
    answer = ledger.top_up("a", "credit", "1")
    assert answer["repaid_nano"] == 2_000_000
    assert ledger.balance("a") == (998_000_000, 0)
    ledger.held(hold_for("a"))
    ledger.assert_sound()


def test_an_overrun_leaves_what_is_held_for_others(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.005")
    request, other = hold_for("a"), hold_for("a")
    ledger.hold(request, other)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=Usage(output_tokens=500))]))
    assert ledger.balance("a") == (HOLD, HOLD)
    ledger.complete(completion(other))
    ledger.assert_sound()


def test_an_overrun_may_take_what_the_same_request_gives_back(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.0045")
    first = hold_for("a")
    second = hold_for("a", request_id=first.request_id)
    ledger.hold(first, second)
    assert ledger.balance("a") == (2 * HOLD, 2 * HOLD)
    above = attempt_on(second, 2, usage=Usage(input_tokens=374, output_tokens=244))
    ledger.complete(
        completion(
            first, attempts=[attempt_on(first, outcome="failed"), above], charged=2, hold_ids=[first.hold_id, second.hold_id]
        )
    )
    charge = ledger.receipt("a", first.request_id)["charge"]
    assert charge["overrun_nano"] > 0
    assert ledger.balance("a") == (2 * HOLD - charge["amount_nano"], 0)
    assert ledger.rows("select overrun from bucket_balance where holder = 'a'") == [{"overrun": 0}]
    ledger.held(hold_for("a", max_output_tokens=1, input_tokens_bound=1))
    ledger.assert_sound()


def test_an_expired_hold_charges_what_was_seen_and_lists_the_rest(funded: Ledger) -> None:
    funded.limit("a", "key", "key-1", "day", "5")
    request = hold_for("a", deadline_at=now() - timedelta(hours=1))
    funded.held(request)
    funded.connection.execute("update hold set progress_input = 100, progress_output = 30")
    assert funded.expire(request.hold_id) == 1
    assert funded.expire(request.hold_id) == 0
    assert funded.balance("a") == (10_000_000_000 - 550_000, 0)
    assert funded.rows('select kind, exposure_nano, owner from "case"') == [
        {"kind": "expired_hold", "exposure_nano": HOLD - 550_000, "owner": "test"}
    ]
    assert funded.rows("select held, spent from envelope_window") == [{"held": 0, "spent": 550_000}]
    receipt = funded.receipt("a", request.request_id)
    assert (receipt["status"], receipt["charge"]["amount_nano"]) == ("expired", 550_000)
    assert receipt["balance"] == {"before_nano": 10_000_000_000, "after_nano": 10_000_000_000 - 550_000, "run": None}
    funded.assert_sound(patience_s=0)


def test_an_expired_hold_is_charged_at_the_cheapest_candidate_and_at_most_whole(funded: Ledger) -> None:
    request = hold_for("a", candidates=[candidate(), candidate(model="gpt-4o-mini")], deadline_at=now(), max_output_tokens=10)
    amount = funded.held(request)["amount_nano"]
    funded.connection.execute("update hold set progress_input = 0, progress_output = 1000")
    funded.expire(request.hold_id)
    assert funded.rows("select captured_nano from hold") == [{"captured_nano": 600_000}]
    assert amount > 600_000
    dear = hold_for("a", deadline_at=now(), max_output_tokens=1)
    whole = funded.held(dear)["amount_nano"]
    funded.connection.execute("update hold set progress_output = 10000 where state = 'HELD'")
    funded.expire(dear.hold_id)
    assert funded.rows("select captured_nano from hold where id = %s", dear.hold_id) == [{"captured_nano": whole}]
    funded.assert_sound()


def test_usage_after_expiry_is_written_off_and_never_charged(funded: Ledger) -> None:
    request = hold_for("a", deadline_at=now())
    funded.held(request)
    funded.connection.execute("update hold set progress_output = 10")
    funded.expire(request.hold_id)
    funded.complete(completion(request))
    assert funded.balance("a") == (10_000_000_000 - 100_000, 0)
    receipt = funded.receipt("a", request.request_id)
    assert (receipt["status"], receipt["charge"]["amount_nano"]) == ("expired", 100_000)
    # The usage that came later does not make this amount: no equation may say that it does.
    assert receipt["charge"]["arithmetic"] is None
    assert "0.001275 USD, is not charged to you" in " ".join(receipt["explanation"])
    assert funded.rows("select written_off_nano from receipt") == [{"written_off_nano": CHARGE - 100_000}]
    funded.assert_sound()


def test_the_sweeper_waits_for_events_in_the_ingress_table(funded: Ledger) -> None:
    request = hold_for("a", deadline_at=now())
    funded.held(request)
    funded.connection.execute(
        "insert into ingress (event_id, topic, key, type, value) values (%s, 't', 'a', 'x', '{}')", [new_id()]
    )
    assert funded.expire(request.hold_id) == 0
    funded.connection.execute("delete from ingress")
    assert funded.expire(request.hold_id) == 1


def test_a_batch_larger_than_the_bound_is_several_transactions(funded: Ledger) -> None:
    requests = [hold_for("a") for _ in range(450)]
    for start in range(0, 450, 150):
        funded.hold(*requests[start : start + 150])
    funded.complete(*[completion(request) for request in requests])
    assert funded.balance("a") == (10_000_000_000 - 450 * CHARGE, 0)
    assert funded.rows("select next from consumer_offset") == [{"next": 450}]
    funded.assert_sound()


def test_postings_transactions_and_moves_cannot_be_changed_not_even_by_their_owner(funded: Ledger) -> None:
    owner = connect(funded.owner_url, statement_timeout_ms=TIMEOUT_MS)
    for table in ("posting", "txn", "balance_move"):
        for statement in (f"delete from {table}", f"update {table} set account = 1", f"truncate {table}"):
            query = statement.replace("account = 1", "kind = 'x'") if table == "txn" else statement
            with pytest.raises(psycopg.Error, match="insert-only"):
                owner.execute(query.encode())
    owner.close()


@pytest.mark.parametrize(
    "values",
    [
        "(t, 9, a, 'USD', 'debit', 5)",
        "(t, 9, a, 'USD', 'debit', 5), (t, 10, a, 'USD', 'credit', 6)",
        "(t, 9, a, 'CNY', 'debit', 5), (t, 10, a, 'CNY', 'credit', 5)",
        "(t, 9, 999999, 'USD', 'debit', 5), (t, 10, a, 'USD', 'credit', 5)",
        "(gen_random_uuid(), 9, a, 'USD', 'debit', 5), (gen_random_uuid(), 10, a, 'USD', 'credit', 5)",
    ],
)
def test_postings_that_do_not_balance_are_refused_by_the_database(funded: Ledger, values: str) -> None:
    row = funded.rows("select t.id as t, p.account as a from txn t join posting p on p.txn = t.id where p.currency = 'USD'")[0]
    text = values.replace("(t,", f"('{row['t']}',").replace(" a,", f" {row['a']},")
    with pytest.raises(psycopg.Error) as refused:
        funded.connection.execute(f"insert into posting values {text}".encode())
    assert refused.value.sqlstate == "TB002"


def test_every_event_in_the_outbox_fits_its_contract(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1")
    ledger.limit("a", "key", "key-1", "day", "0.5")
    paid, failed, refused, late = (
        hold_for("a", tags={"feature": "x"}),
        hold_for("a"),
        hold_for("b"),
        hold_for("a", deadline_at=now()),
    )
    ledger.hold(paid, failed, refused, late)
    ledger.complete(completion(paid), completion(failed, charged=None), completion(paid))
    ledger.expire(late.hold_id)
    ledger.complete(completion(late))
    ledger.worker.settle([ledger.record(completion(paid), value=b"{")])
    found = ledger.outbox()
    events = [registry.decode(topic, kind, value.encode()) for topic, kind, value in found if topic != topics.CONTROL]
    assert {event.type for event in events} == {
        *("HoldPlaced", "HoldRefused", "Captured", "Released", "Expired", "LateUsage", "ToppedUp"),
        *("PriceBookPublished", "LimitChanged", "CaseOpened", "DeadLetter"),
    }
    assert len({event.event_id for event in events}) == len(events)
    captured = next(event for event in events if event.type == "Captured")
    assert (captured.request_id, captured.tags) == (paid.request_id, {"feature": "x"})
    control = {
        (record["kind"], record["entity_id"]) for record in map(orjson.loads, (v for t, _, v in found if t == topics.CONTROL))
    }
    assert control == {("price", "book"), ("limit", KEY.key_id)}
    ledger.assert_sound()
