"""What a batch may spend, what stops it, and what a worker's death costs: to the unit."""

from __future__ import annotations

import signal
from typing import Any

from schemas.money import parse_amount
from tests.integration.batches.rig import BatchRig, Customer, answered, begin, ended, entries, line, until


def _lines(customer: Customer, count: int, **body: Any) -> list[dict[str, Any]]:
    return [line(str(number), customer.lane.model, **body) for number in range(count)]


def _cost(answers: list[dict[str, Any]]) -> int:
    return sum(parse_amount(entry["response"]["body"]["usage"]["cost"]) for entry in answers)


def _idle(rig: BatchRig, customer: Customer) -> bool:
    return bool(rig.balances(customer.lane)["credit"]["held_nano"] == 0)


def test_a_batch_under_a_runs_budget_stops_at_its_envelope_to_the_unit(rig: BatchRig) -> None:
    customer = rig.customer()
    run = rig.ask(customer, "POST", "/v1/runs", json={"budget": {"credit": "0.01"}}).json()
    with rig.openai(customer) as client:
        batch = ended(client, begin(client, _lines(customer, 1_000), run_id=run["id"]).id)
        assert batch.status == "completed"
        answers, errors = entries(client, batch.output_file_id), entries(client, batch.error_file_id)
    assert len(answers) + len(errors) == 1_000
    assert answers
    assert errors
    for entry in errors:
        error = entry["response"]["body"]["error"]
        assert (entry["response"]["status_code"], error["envelope"]["kind"]) == (402, "run")
    closed = rig.ask(customer, "POST", f"/v1/runs/{run['id']}/close").json()
    until(lambda: rig.ask(customer, "GET", f"/v1/runs/{run['id']}").json()["state"].lower() == "closed", "the end of the run")
    spent = _cost(answers)
    assert spent <= parse_amount("0.01"), closed
    # Nothing was left that would have paid for one more line.
    assert parse_amount("0.01") - spent < parse_amount(errors[0]["response"]["body"]["error"]["needed"])
    posted = rig.balances(customer.lane)["credit"]["posted_nano"]
    assert posted == parse_amount("100") - spent
    rig.check_ledger()


def test_a_batch_that_is_to_stop_at_a_refusal_begins_nothing_after_it(rig: BatchRig) -> None:
    customer = rig.customer(credit="0.004")
    with rig.openai(customer) as client:
        batch = ended(client, begin(client, _lines(customer, 100), tollbook_on_refusal="stop").id)
        assert batch.status == "failed"
        assert [error.code for error in batch.errors.data] == ["insufficient_balance"]
        errors = entries(client, batch.error_file_id)
    codes = [(entry["error"] or entry["response"]["body"]["error"])["code"] for entry in errors]
    assert set(codes) == {"insufficient_balance", "batch_stopped"}
    assert codes.count("insufficient_balance") <= 16
    assert len(errors) + batch.request_counts.completed == 100


def test_a_frozen_key_stops_its_batch_and_what_was_answered_is_kept(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=150)
    with rig.openai(customer) as client:
        began = begin(client, _lines(customer, 400))
        until(lambda: answered(client, began.id) >= 5, "some answers")
        rig.post("edge", f"/admin/keys/{customer.key_id}/freeze")
        query = "SELECT status, errors FROM router.batch WHERE batch_id = %s AND status = 'failed'"
        [[_, errors]] = until(lambda: rig.rows(query, began.id), "the batch to stop")
        rig.post("edge", f"/admin/keys/{customer.key_id}/unfreeze")
        batch = until(lambda: _read(client, began.id), "the key to be thawed")
        answers = entries(client, batch.output_file_id)
    assert [error["code"] for error in errors] == ["key_frozen"]
    assert 5 <= len(answers) < 400
    until(lambda: _idle(rig, customer), "every hold to end")
    assert rig.balances(customer.lane)["credit"]["posted_nano"] == parse_amount("100") - _cost(answers)


def _read(client: Any, batch_id: str) -> Any:
    try:
        return client.batches.retrieve(batch_id)
    except Exception:  # noqa: BLE001 - the key is still frozen
        return None


def test_a_policy_that_changes_counts_for_the_lines_that_are_still_to_come(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=150)
    with rig.openai(customer) as client:
        began = begin(client, _lines(customer, 600))
        until(lambda: answered(client, began.id) >= 5, "some answers")
        rig.post("edge", f"/admin/keys/{customer.key_id}/policy", json={"policy": {"models": ["another"]}})
        batch = ended(client, began.id)
        errors = entries(client, batch.error_file_id)
    assert batch.request_counts.completed >= 5
    assert {entry["response"]["body"]["error"]["code"] for entry in errors} == {"model_not_allowed"}


def test_a_cancelled_batch_begins_no_more_lines(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=150)
    with rig.openai(customer) as client:
        began = begin(client, _lines(customer, 400))
        until(lambda: answered(client, began.id) >= 5, "some answers")
        assert client.batches.cancel(began.id).status == "cancelling"
        batch = ended(client, began.id)
        assert batch.status == "cancelled"
        answers, errors = entries(client, batch.output_file_id), entries(client, batch.error_file_id)
    assert len(answers) + len(errors) == 400
    assert {entry["error"]["code"] for entry in errors} == {"batch_cancelled"}
    assert rig.stats(customer.lane.main)["requests"] == len(answers)


def test_two_workers_never_call_twice_when_one_is_killed_and_lost_claims_become_cases(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=700)
    with rig.openai(customer) as client:
        began = begin(client, _lines(customer, 60))
        until(lambda: answered(client, began.id) >= 16, "some answers")
        until(lambda: rig.rows("SELECT 1 FROM router.batch WHERE batch_id = %s AND running > 8", began.id), "lines under way")
        rig.batch.signal(signal.SIGKILL)
        rig.batch.wait()
        rig.batch2.start(rig.urls["batch2"] + "/readyz")
        batch = ended(client, began.id)
        answers, errors = entries(client, batch.output_file_id), entries(client, batch.error_file_id)
    try:
        assert batch.status == "completed"
        assert len(answers) + len(errors) == 60
        assert {entry["error"]["code"] for entry in errors} == {"claim_lost"}
        lost = {
            str(row[0])
            for row in rig.rows("SELECT request_id FROM router.batch_line WHERE batch_id = %s AND outcome = 'lost'", began.id)
        }
        assert len(lost) == len(errors) > 0
        # Every line was called once, by whichever worker had claimed it.
        assert rig.stats(customer.lane.main)["requests"] == 60
        until(lambda: _idle(rig, customer), "every hold to end")
        cases = {
            str(row[0]) for row in rig.rows('SELECT request_id FROM settlement."case" WHERE holder = %s', customer.account_id)
        }
        assert lost <= cases
        assert rig.balances(customer.lane)["credit"]["posted_nano"] == parse_amount("100") - _cost(answers)
        rig.check_ledger()
    finally:
        rig.batch2.stop()
        rig.batch.start(rig.urls["batch"] + "/readyz")


def test_a_lost_line_is_asked_again_where_the_batch_says_so_and_names_both_requests(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=1500)
    with rig.openai(customer) as client:
        began = begin(client, _lines(customer, 6), tollbook_repeat="true")
        until(lambda: rig.stats(customer.lane.main)["requests"] == 6, "the calls")
        rig.batch.signal(signal.SIGKILL)
        rig.batch.wait()
        rig.batch.start(rig.urls["batch"] + "/readyz")
        batch = ended(client, began.id)
        answers = entries(client, batch.output_file_id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 6)
    assert rig.stats(customer.lane.main)["requests"] == 12
    for entry in answers:
        [earlier] = entry["tollbook"]["earlier_request_ids"]
        assert earlier != entry["response"]["request_id"]
    until(lambda: _idle(rig, customer), "every hold to end")
    assert rig.balances(customer.lane)["credit"]["posted_nano"] == parse_amount("100") - _cost(answers)
    rig.check_ledger()
