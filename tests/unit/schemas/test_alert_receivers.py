"""The receivers section of the rule file: what is taken, what is refused, and that no secret stands in it."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.alert_receivers import Receivers, secrets_of, url_fault, variable_of
from schemas.yaml_text import read_yaml

ADAPTER: TypeAdapter[Receivers] = TypeAdapter(Receivers)
FILE = """
ops-slack: {kind: slack, url: "${env:SLACK_WEBHOOK_URL}"}
on-call: {kind: pagerduty, routing_key: "${env:PAGERDUTY_ROUTING_KEY}", events: [firing, resolved]}
prometheus: {kind: alertmanager, url: "http://alertmanager:9093", allow_http: true, labels: {team: payments}}
own-program:
  kind: webhook
  url: https://alerts.example.com/tollbook?team=1
  secret: ${env:WEBHOOK_SECRET}
  former_secret: ${env:WEBHOOK_FORMER_SECRET}
mail:
  kind: email
  host: smtp.example.com
  username: tollbook
  password: ${env:SMTP_PASSWORD}
  from: tollbook@example.com
  to: [ops@example.com, finance@example.com]
"""


def faults(receiver: dict[str, Any]) -> list[str]:
    """What is wrong with a receiver."""
    with pytest.raises(ValidationError) as raised:
        ADAPTER.validate_python({"x": receiver})
    return [f"{'.'.join(map(str, each['loc'][2:]))}: {each['msg']}" for each in raised.value.errors(include_url=False)]


def test_every_kind_is_read_from_a_file() -> None:
    found = ADAPTER.validate_python(read_yaml(FILE).value)
    assert [each.kind for each in found.values()] == ["slack", "pagerduty", "alertmanager", "webhook", "email"]
    assert found["on-call"].events == ("firing", "resolved")
    assert found["mail"].model_dump()["to"] == ("ops@example.com", "finance@example.com")


def test_what_is_read_from_variables_is_listed() -> None:
    found = ADAPTER.validate_python(read_yaml(FILE).value)
    assert secrets_of(found["own-program"]) == {
        "secret": "${env:WEBHOOK_SECRET}",
        "former_secret": "${env:WEBHOOK_FORMER_SECRET}",
    }
    assert secrets_of(found["prometheus"]) == {}


def test_a_secret_that_stands_in_the_file_is_refused_and_the_reason_does_not_repeat_it() -> None:
    (fault,) = faults({"kind": "slack", "url": "https://hooks.example.com/services/T/B/secret"})
    assert "a secret is written as ${env:NAME}" in fault
    assert "/T/B/secret" not in fault


@pytest.mark.parametrize(
    "name", ["TOLLBOOK_ADMIN_TOKEN", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "PATH", "slack_url", "SLACK_"]
)
def test_no_variable_but_one_named_for_it_is_read(name: str) -> None:
    assert variable_of(f"${{env:{name}}}") is None
    assert faults({"kind": "slack", "url": f"${{env:{name}}}"}) != []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/x", "begins with https"),
        ("https://user@example.com/", "no user"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com/a b", "without spaces"),
        ("https://exämple.com/", "plain ASCII"),
        ("https://example.com:0/", "form https"),
        ("https://example.com:x/", "no address"),
        ("https://[::1/", "no address"),
        ("https:///x", "form https"),
        ("file:///etc/passwd", "form https"),
        ("gopher://example.com/", "form https"),
        ("", "form https"),
    ],
)
def test_an_address_that_nothing_is_sent_to(url: str, said: str) -> None:
    fault = url_fault(url, allow_http=False)
    assert fault is not None
    assert said in fault
    assert any(said in each for each in faults({"kind": "webhook", "url": url, "secret": "${env:WEBHOOK_SECRET}"}))


def test_plain_http_is_sent_where_the_file_allows_it() -> None:
    assert url_fault("http://alertmanager:9093", allow_http=True) is None


@pytest.mark.parametrize(
    "receiver",
    [
        {"kind": "smoke-signal", "url": "https://example.com"},
        {"kind": "slack", "url": "${env:SLACK_URL}", "color": "red"},
        {"kind": "slack", "url": "${env:SLACK_URL}", "per_minute": 0},
        {"kind": "slack", "url": "${env:SLACK_URL}", "per_minute": "20"},
        {"kind": "slack", "url": "${env:SLACK_URL}", "events": []},
        {"kind": "slack", "url": "${env:SLACK_URL}", "events": ["pending"]},
        {"kind": "alertmanager", "url": "https://a.example.com", "username": "x"},
        {"kind": "alertmanager", "url": "https://a.example.com", "labels": {"1": "x"}},
        {"kind": "email", "host": "smtp.example.com", "from": "a@example.com", "to": []},
        {"kind": "email", "host": "smtp.example.com", "from": "a@example.com\nBcc: b@example.com", "to": "b@example.com"},
        {"kind": "email", "host": "smtp.example.com", "from": "nobody", "to": "b@example.com"},
        {"kind": "email", "host": "smtp.example.com/x", "from": "a@example.com", "to": "b@example.com"},
        {
            "kind": "email", "host": "smtp.example.com", "security": "none", "username": "a",
            "password": "${env:SMTP_PASSWORD}", "from": "a@example.com", "to": "b@example.com",
        },
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(receiver: dict[str, Any]) -> None:
    assert faults(receiver) != []


def test_a_name_of_a_receiver_is_short_and_plain() -> None:
    for name in ("", "Ops Slack", "x" * 65, "-x"):
        with pytest.raises(ValidationError):
            ADAPTER.validate_python({name: {"kind": "slack", "url": "${env:SLACK_URL}"}})
