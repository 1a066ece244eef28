"""Files and batches through the official client, on real engines."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from schemas.money import parse_amount
from tests.integration.batches.rig import BatchRig, begin, ended, entries, jsonl, line, until


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
