"""Messages of each kind are what the receiver's documentation asks for, whatever stands in an alert."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter
from standardwebhooks import WebhookVerificationError

from schemas.alert_receivers import Receiver
from services.analytics.delivery import alertmanager, pagerduty, slack, webhook
from services.analytics.delivery.compose import closing, compose
from services.analytics.delivery.mail import mail
from services.analytics.delivery.notice import NOBODY
from services.analytics.delivery.outgoing import HttpMessage, Item, Mail
from services.analytics.delivery.references import NotConfiguredError
from tests.receivers import alertmanager_alerts, pagerduty_event, signed_webhook, slack_message
from tests.unit.analytics.notices import AT, DASHBOARD, OWNER, item, notice, storm

ADAPTER: TypeAdapter[Receiver] = TypeAdapter(Receiver)
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
NASTY = "<!channel> & </b> `rm` \u202e|\n" + "x" * 2_000
EVENTS = ("firing", "acknowledged", "resolved", "test")


def awkward(event: str) -> Item:
    """An alert in which everything that others chose is as long and as odd as it can be."""
    ids = {"subject_id": NASTY[:128], "rule": NASTY[:128], "account_id": NASTY, "project_id": NASTY}
    told_of = notice(event=event, **ids, unit=NASTY, reason=NASTY, actor=NASTY, runbook="https://example.com/<|>" + "y" * 3_000)
    return item(told_of, OWNER.model_copy(update={"account_name": NASTY, "key_name": NASTY, "people": (NASTY,) * 50}))


@pytest.mark.parametrize("event", EVENTS)
def test_slack_takes_every_message(event: str) -> None:
    for each in (item(notice(event=event)), item(notice(event=event), NOBODY, ""), awkward(event)):
        slack_message(slack.payload(each))


def test_slack_is_told_what_happened_and_what_to_do() -> None:
    text = str(slack.payload(item()))
    for part in ("601 times that", "12.50 USD", "Ada, Grace", "tollbook keys freeze key_nightly", "tollbook alerts ack alr_1"):
        assert part in text


def test_a_storm_is_one_message_that_names_some_and_counts_the_rest() -> None:
    message = slack_message(slack.digest(storm(33), DASHBOARD))
    text = message["blocks"][1]["text"]["text"]
    assert text.count("FIRING") == slack.NAMED
    assert text.endswith("and 23 more")
    assert "and 23 more" in str(slack_message(slack.digest([awkward("firing")] * 33, "")))


@pytest.mark.parametrize("event", EVENTS)
def test_pagerduty_takes_every_event(event: str) -> None:
    for each in (item(notice(event=event)), item(notice(event=event), NOBODY, ""), awkward(event)):
        assert pagerduty_event(pagerduty.event(each, ROUTING_KEY))["routing_key"] == ROUTING_KEY


def test_all_events_of_an_alert_are_of_one_incident() -> None:
    events = [pagerduty.event(item(notice(event=event)), ROUTING_KEY) for event in ("firing", "acknowledged", "resolved")]
    assert [each["event_action"] for each in events] == ["trigger", "acknowledge", "resolve"]
    assert {each["dedup_key"] for each in events} == {"tollbook/alr_1"}
    assert events[0]["payload"]["severity"] == "critical"


def test_a_test_of_pagerduty_wakes_nobody_and_is_closed_again() -> None:
    receiver = ADAPTER.validate_python({"kind": "pagerduty", "routing_key": "${env:PAGERDUTY_KEY}"})
    told = item(notice(event="test"))
    assert pagerduty.event(told, ROUTING_KEY)["payload"]["severity"] == "info"
    after = closing(receiver, told, {"routing_key": ROUTING_KEY})
    assert after is not None
    assert pagerduty_event(orjson.loads(after.body))["event_action"] == "resolve"


@pytest.mark.parametrize("event", EVENTS)
def test_alertmanager_takes_every_alert(event: str) -> None:
    for each in (item(notice(event=event)), item(notice(event=event), NOBODY, ""), awkward(event)):
        alertmanager_alerts(alertmanager.alerts([each], {"team": "payments"}, AT))


def test_an_alert_keeps_its_labels_for_its_whole_life() -> None:
    told = [item(notice(event=event), OWNER) for event in ("firing", "acknowledged", "resolved")]
    told += [item(notice(event="firing", observed=9.0), NOBODY, "")]
    labels = [each["labels"] for each in alertmanager.alerts(told, {"team": "payments"}, AT)]
    assert all(each == labels[0] for each in labels)
    assert labels[0]["team"] == "payments"


def test_an_alert_that_fires_counts_until_it_is_told_again_and_ends_when_it_is_over() -> None:
    firing, resolved = alertmanager.alerts([item(), item(notice(event="resolved"))], {}, AT)
    assert firing["endsAt"] == (AT + alertmanager.COUNTS_FOR).isoformat()
    assert resolved["endsAt"] == (AT + timedelta(minutes=5)).isoformat()


@pytest.mark.parametrize("event", EVENTS)
def test_a_webhook_is_signed_as_the_reference_library_checks_it(event: str) -> None:
    for each in (item(notice(event=event)), awkward(event)):
        message = webhook.message(each, "https://example.com/", [SECRET], datetime.now(UTC))
        told = signed_webhook(message.body, dict(message.headers), SECRET)
        assert told["type"] == f"alert.{event}"
        assert message.headers["webhook-id"] == each.delivery_id


def test_while_a_secret_is_replaced_a_webhook_is_signed_with_both() -> None:
    former = "whsec_" + base64.b64encode(b"f" * 32).decode()
    message = webhook.message(item(), "https://example.com/", [SECRET, former], datetime.now(UTC))
    for secret in (SECRET, former):
        signed_webhook(message.body, dict(message.headers), secret)
    with pytest.raises(WebhookVerificationError):
        signed_webhook(message.body + b" ", dict(message.headers), SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "not base64 at all, not at all!!", "whsec_" + "A" * 200])
def test_a_secret_that_signs_nothing_well_is_refused_by_name(secret: str) -> None:
    with pytest.raises(NotConfiguredError, match="24 to 64 random bytes"):
        webhook.message(item(), "https://example.com/", [secret], AT)


def email(**changed: Any) -> Any:
    """A receiver of mail."""
    fields = {"kind": "email", "host": "smtp.example.com", "from": "tollbook@example.com", "to": ["ops@example.com"]}
    return ADAPTER.validate_python(fields | changed)


@pytest.mark.parametrize("event", EVENTS)
def test_a_mail_has_the_same_in_plain_text_and_in_html(event: str) -> None:
    for each in (item(notice(event=event)), awkward(event)):
        message = mail([each], email(), None, AT).message
        plain, html = message.get_body(("plain",)), message.get_body(("html",))
        assert plain is not None
        assert html is not None
        assert each.told.headline[:40] in plain.get_content()
        assert "<!channel>" not in html.get_content()
        assert message.as_bytes().count(b"\nSubject: ") + message.as_bytes().startswith(b"Subject: ") == 1


def test_mails_of_an_alert_are_one_thread_and_a_repeated_one_keeps_its_id() -> None:
    told = [mail([item(notice(event=event))], email(), None, AT).message for event in ("firing", "resolved")]
    assert told[0]["References"] == told[1]["References"]
    assert told[0]["Message-ID"] != told[1]["Message-ID"]
    assert told[0]["Message-ID"] == mail([item()], email(), None, AT + timedelta(minutes=1)).message["Message-ID"]


def test_a_storm_is_one_mail() -> None:
    plain = mail(storm(33), email(), None, AT).message.get_body(("plain",))
    assert plain is not None
    assert "and 23 more" in plain.get_content()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"kind": "slack", "url": "${env:SLACK_URL}"}, {"url": "https://hooks.example.com/T/B/s3cret"}),
        ({"kind": "pagerduty", "routing_key": "${env:PAGERDUTY_KEY}"}, {"routing_key": ROUTING_KEY}),
        (
            {"kind": "alertmanager", "url": "https://a.example.com", "username": "u", "password": "${env:ALERT_PASSWORD}"},
            {"password": "s3cret-password"},
        ),
        (
            {"kind": "alertmanager", "url": "https://a.example.com", "bearer_token": "${env:ALERT_TOKEN}"},
            {"bearer_token": "s3cret-token"},
        ),
        ({"kind": "webhook", "url": "https://w.example.com", "secret": "${env:WEBHOOK_SECRET}"}, {"secret": SECRET}),
    ],
)  # fmt: skip
def test_a_message_that_is_printed_shows_no_secret(given: dict[str, Any], read: dict[str, str]) -> None:
    message = compose(ADAPTER.validate_python(given), [item()], read, dashboard_url=DASHBOARD, now=AT)
    assert isinstance(message, HttpMessage)
    assert message.url.startswith("https://")
    assert not any(secret in repr(message) for secret in read.values())


def test_a_mail_that_is_printed_shows_no_password() -> None:
    receiver = email(username="u", password="${env:SMTP_PASSWORD}")
    message = compose(receiver, [item()], {"password": "s3cret-password"}, dashboard_url="", now=AT)
    assert isinstance(message, Mail)
    assert message.password == "s3cret-password"
    assert "s3cret-password" not in repr(message)


def test_an_address_from_a_variable_is_held_to_the_same_rules() -> None:
    receiver = ADAPTER.validate_python({"kind": "slack", "url": "${env:SLACK_URL}"})
    with pytest.raises(NotConfiguredError, match="begins with https") as raised:
        compose(receiver, [item()], {"url": "http://hooks.example.com/s3cret"}, dashboard_url="", now=AT)
    assert "s3cret" not in str(raised.value)
