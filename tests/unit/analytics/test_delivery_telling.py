"""Which steps of an alert are told, and that what is told is the alert as it was then."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.analytics.alerts.machine import Alert, Transition, acknowledge, advance, resolve, silence
from services.analytics.alerts.verdict import Verdict
from services.analytics.delivery.notice import Notice
from services.analytics.delivery.telling import notice_of
from services.analytics.signals.scheduled import route_subject
from tests.unit.analytics.notices import AT


def verdict(**changed: Any) -> Verdict:
    """A runaway key, far above its threshold."""
    fields: dict[str, Any] = {
        "rule": "runaway-key",
        "signal": "tokens_per_minute_by_key",
        "subject_kind": "key",
        "subject_id": "key_nightly",
        "account_id": "acc_acme",
        "exceeded": True,
        "calm": False,
        "observed": 200_000.0,
        "threshold": 60_000.0,
        "unit": "tokens/min",
        "window_start": AT - timedelta(minutes=1),
        "window_end": AT,
        "keep_s": 0,
    }
    return Verdict(**fields | changed)


def fired(**changed: Any) -> tuple[Alert, tuple[Transition, ...]]:
    """An alert that fires at once, and the steps that this took."""
    alert, steps = advance(None, verdict(**changed), AT)
    assert alert is not None
    return alert, steps


def told(alert: Alert | None, steps: tuple[Transition, ...]) -> list[Notice]:
    """What is told of the steps."""
    assert alert is not None
    return [notice for step in steps if (notice := notice_of(alert, step)) is not None]


def test_a_life_is_told_from_the_fire_to_the_end() -> None:
    alert, steps = fired(detail={"cost_nano": {"USD": 5, "bad": "6"}, "models": ["gpt-4o"]})
    (firing,) = told(alert, steps)
    (taken,) = told(*acknowledge(alert, "usr_1 (Ada)", AT, "mine"))
    (ended,) = told(*resolve(alert, "usr_1 (Ada)", AT + timedelta(minutes=3)))
    assert [each.event for each in (firing, taken, ended)] == ["firing", "acknowledged", "resolved"]
    assert (firing.cost_nano, firing.observed, firing.detail["models"]) == ({"USD": 5}, 200_000.0, ["gpt-4o"])
    assert (taken.actor, taken.reason) == ("usr_1 (Ada)", "mine")
    assert (ended.fired_at, ended.resolved_at) == (AT, AT + timedelta(minutes=3))
    assert len({each.transition_id for each in (firing, taken, ended)}) == 3


def test_what_is_pending_is_not_told() -> None:
    assert told(*fired(for_s=60)) == []


def test_a_silenced_alert_is_not_told_of_until_it_is_heard_again() -> None:
    alert, _ = fired()
    muted, steps = silence(alert, "sil_1", AT)
    assert muted is not None
    assert told(muted, steps) == []
    assert told(*acknowledge(muted, "usr_1", AT)) == []
    assert told(*silence(muted, None, AT + timedelta(minutes=1))) == [], "they know already that it fires"
    (heard,) = told(*silence(replace(muted, heard=False), None, AT + timedelta(minutes=1)))
    assert (heard.event, heard.reason) == ("firing", "its silence has ended")


def test_the_same_step_is_the_same_change() -> None:
    alert, (step,) = fired()
    assert notice_of(alert, step) == notice_of(alert, step)


@pytest.mark.parametrize("detail", [{"x": object()}, {"x": "y" * 20_000}])
def test_what_does_not_fit_into_a_message_is_left_out(detail: dict[str, Any]) -> None:
    (firing,) = told(*fired(detail=detail))
    assert firing.detail == {}


def test_a_route_of_the_longest_names_is_told_whole() -> None:
    route = route_subject("a" * 128, "m" * 128, "metered", "USD")
    (firing,) = told(*fired(signal="spend_by_route", subject_kind=route.kind, subject_id=route.id))
    assert firing.subject_id == route.id
