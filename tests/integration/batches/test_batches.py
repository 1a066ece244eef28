"""Files and batches through the official client on real engines: answers, money, and what a killed worker leaves."""

from __future__ import annotations

import json
import signal
from typing import Any

import openai
import pytest

from schemas.money import parse_amount
from tests.integration.batches.rig import BatchRig, Customer, answered, begin, ended, entries, jsonl, line, until


def test_a_batch_is_answered_line_by_line_with_receipts(rig: BatchRig) -> None:
    customer = rig.customer()
    model = customer.lane.model
    with rig.openai(customer) as client:
        began = begin(client, [line("one", model), line("two", model, max_tokens=10), line("three", model, n="many")])
        assert began.status == "validating"
        batch = ended(client, began.id)
        assert batch.status == "completed", batch
        assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 2, 1)
        answers, errors = entries(client, batch.output_file_id), entries(client, batch.error_file_id)
    assert [entry["custom_id"] for entry in answers] == ["one", "two"]
    for entry in answers:
        response = entry["response"]
        assert response["status_code"] == 200
        assert response["body"]["choices"][0]["message"]["content"]
        receipt = until(lambda: _settled(rig, customer, response["request_id"]), "the receipt")  # noqa: B023
        assert parse_amount(response["body"]["usage"]["cost"]) == receipt["charge"]["amount_nano"]
        assert receipt["client_request_id"].startswith(batch.id)
    [failed] = errors
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("three", 400)
    assert failed["response"]["body"]["error"]["param"] == "n"


def _settled(rig: BatchRig, customer: Any, request_id: str) -> dict[str, Any] | None:
    reply = rig.ask(customer, "GET", f"/v1/requests/{request_id}")
    return reply.json() if reply.status_code == 200 and reply.json()["charge"] else None


def test_files_are_listed_read_and_deleted_by_their_project_alone(rig: BatchRig) -> None:
    mine, other = rig.customer(), rig.customer()
    content = jsonl([line("one", mine.lane.model)])
    with rig.openai(mine) as client, rig.openai(other) as stranger:
        files = [client.files.create(file=(f"{n}.jsonl", content), purpose="batch") for n in range(3)]
        assert client.files.retrieve(files[0].id).filename == "0.jsonl"
        assert client.files.content(files[0].id).content == content
        assert [each.id for each in client.files.list(purpose="batch", limit=2)] == [each.id for each in files[::-1]]
        for call in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(files[0].id)
        assert client.files.delete(files[0].id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(files[0].id)


def test_an_upload_is_refused_for_its_purpose_and_its_size(rig: BatchRig) -> None:
    wrong: Any = "assistants"
    with rig.openai(rig.customer()) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            client.files.create(file=("a.jsonl", b"{}"), purpose=wrong)
        assert raised.value.param == "purpose"
        with pytest.raises(openai.APIStatusError) as refused:
            client.files.create(file=("a.jsonl", b"x" * (5 * 1024 * 1024)), purpose="batch")
        assert refused.value.status_code == 413


def test_a_file_that_is_no_batch_fails_with_its_lines(rig: BatchRig) -> None:
    customer = rig.customer()
    model = customer.lane.model
    bad = [line("one", model), {**line("two", model), "custom_id": "one"}, {**line("three", model), "url": "/v1/responses"}]
    with rig.openai(customer) as client:
        batch = ended(client, begin(client, bad).id)
    assert batch.status == "failed"
    assert [(each.code, each.line) for each in batch.errors.data] == [("duplicate_custom_id", 2), ("mismatched_url", 3)]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_a_batch_that_is_asked_for_again_under_its_idempotency_key_is_one(rig: BatchRig) -> None:
    customer = rig.customer()
    with rig.openai(customer) as client:
        file = client.files.create(file=("a.jsonl", jsonl([line("one", customer.lane.model)])), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    again = {"headers": {"idempotency-key": "k1"}}
    first, second = (rig.ask(customer, "POST", "/v1/batches", json=body, **again) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = rig.ask(customer, "POST", "/v1/batches", json={**body, "metadata": {"a": "b"}}, **again)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert len(rig.ask(customer, "GET", "/v1/batches").json()["data"]) == 1


def test_what_a_client_may_not_say_of_a_batch_is_refused_by_name(rig: BatchRig) -> None:
    customer = rig.customer()
    body = {"input_file_id": "file-" + "0" * 32, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({}, 404, "input_file_id"),
        ({"endpoint": "/v1/images"}, 400, "endpoint"),
        ({"completion_window": "1h"}, 400, "completion_window"),
        ({"metadata": {"tollbook_repeat": "yes"}}, 400, "metadata"),
        ({"more": 1}, 400, "more"),
    ]
    for change, status, param in cases:
        reply = rig.ask(customer, "POST", "/v1/batches", json={**body, **change})
        assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), reply.text


def test_no_text_of_a_request_or_a_reply_reaches_the_log_or_a_table(rig: BatchRig) -> None:
    customer = rig.customer()
    canary = "xyzzy-plugh-canary"
    with rig.openai(customer) as client:
        batch = ended(client, begin(client, [line(canary, customer.lane.model)]).id)
        assert batch.status == "completed"
        [answer] = entries(client, batch.output_file_id)
    for table in ("router.batch", "router.batch_line", "edge.batch", "settlement.hold", "settlement.outbox"):
        [[found]] = rig.rows(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%{canary}%%'")
        assert found == 0, table
    logs = b"".join(each.read_bytes() for each in rig.log.parent.glob("*.log"))
    assert canary.encode() not in logs
    assert answer["custom_id"] == canary
    assert not (rig.objects / "batches" / batch.id).exists() or not list((rig.objects / "batches" / batch.id).iterdir())


def test_the_operator_sees_what_is_under_way_and_the_worker_measures_it(rig: BatchRig) -> None:
    customer = rig.customer()
    rig.pace(customer.lane.main, latency_ms=400)
    with rig.openai(customer) as client:
        began = begin(client, [line(str(n), customer.lane.model) for n in range(40)])

        def seen() -> dict[str, Any] | None:
            rows = rig.get("router", "/admin/batches")["data"]
            return next((each for each in rows if each["batch_id"] == began.id and each["running"]), None)

        row = until(seen, "a batch under way")
        assert row["waiting"] + row["running"] + row["ended"] == row["total"] == 40
        assert ended(client, began.id).request_counts.completed == 40
    page = rig.http.get(rig.urls["batch"] + "/metrics").text
    assert 'tollbook_router_batch_lines_total{outcome="completed"}' in page
    assert json.loads(rig.http.get(rig.urls["batch"] + "/readyz").text) == {"ready": True}


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
