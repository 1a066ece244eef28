"""Which alerts are open, read back from those that were published."""

from datetime import UTC, datetime

from schemas.alerts import AlertState, VelocityAlert
from services.analytics.meter.alert_log import open_alerts
from services.analytics.velocity import Subject, alert_event

SECOND = 1_795_435_200


def alert(key_id: str, name: str, state: AlertState) -> VelocityAlert:
    subject = Subject(account_id="acc", key_id=key_id, environment="production")
    now = datetime.fromtimestamp(SECOND, UTC)
    return alert_event(subject, name, state, observed_tokens=9, threshold=5, second=SECOND, now=now)


def test_an_alert_is_open_from_its_beginning_to_its_end() -> None:
    began, other, ended = alert("one", "a", "firing"), alert("two", "b", "firing"), alert("one", "a", "resolved")
    assert set(open_alerts([began])) == {"one"}
    assert set(open_alerts([began, other, ended])) == {"two"}
    assert open_alerts([began, ended, alert("one", "c", "firing")])["one"].name == "c"


def test_an_open_alert_is_known_as_it_was_published() -> None:
    (found,) = open_alerts([alert("one", "a", "firing")]).values()
    assert (found.subject.account_id, found.subject.environment, found.second) == ("acc", "production", SECOND)


def test_alerts_of_other_signals_are_not_ours() -> None:
    other = alert("one", "a", "firing")
    other = other.model_copy(update={"data": other.data.model_copy(update={"signal": "error_rate_by_channel"})})
    assert open_alerts([other]) == {}
