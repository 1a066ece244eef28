"""What edge tells router is a call context that router's model reads, in ASCII whatever the names are."""

from datetime import UTC, datetime

import pytest

from schemas.calls import CallContext
from schemas.envelope import new_id
from services.edge import events
from services.edge.context import Call, render_context
from services.edge.labels import Labels
from services.edge.policies import EnvelopePolicy
from tests.unit.edge.values import caller

AT = datetime(2026, 3, 14, 9, 26, 53, 409000, tzinfo=UTC)
LABELS = Labels(tags={"stadt": "Köln", "q": 'a"b\\'}, run_id="run_1", client_request_id="order 1", traceparent="00-x")


def call(labels: Labels) -> Call:
    return Call(
        request_id=new_id(),
        accepted_at=AT,
        client_api="chat.completions",
        labels=labels,
        model="gpt-4o",
        stream=True,
        body_bytes=7,
    )


@pytest.mark.parametrize("labels", [Labels(), LABELS])
@pytest.mark.parametrize("name", ["plain", "Prüfung 测试", 'quote"', ""])
def test_the_context_is_read_back_as_it_was_meant(labels: Labels, name: str) -> None:
    who = caller(name=name, policy=EnvelopePolicy(models=["gpt-4o"], cross_bucket=True, max_attempts=2))
    asked = call(labels)
    rendered = render_context(asked, who)
    assert rendered.isascii()
    assert CallContext.model_validate_json(rendered) == CallContext(
        request_id=asked.request_id,
        account_id="acc_1",
        key=who.key,
        environment="production",
        policy=who.policy,
        tags=labels.tags,
        run_id=labels.run_id,
        client_request_id=labels.client_request_id,
        traceparent=labels.traceparent,
        accepted_at=AT,
    )


def test_an_accepted_call_is_recorded_with_who_what_and_labels() -> None:
    asked = call(LABELS)
    event = events.accepted(asked, caller())
    assert (event.request_id, event.account_id, event.occurred_at) == (asked.request_id, "acc_1", AT)
    assert (event.tags, event.run_id, event.environment) == (LABELS.tags, "run_1", "production")
    assert (event.data.requested_model, event.data.stream, event.data.body_bytes) == ("gpt-4o", True, 7)
    assert event.data.client_request_id == "order 1"


def test_a_refused_call_is_recorded_with_the_error_that_the_client_saw() -> None:
    event = events.rejected(call(LABELS), caller(), status=402, code="insufficient_balance", message="m" * 5000)
    assert (event.data.http_status, event.data.code, len(event.data.message)) == (402, "insufficient_balance", 1000)
    assert event.data.key.key_id == "Q7mZk2XvB9tL"
