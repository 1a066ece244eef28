"""When a key's tokens per minute become an alert, and when the alert is over. Pure: the caller counts and keeps the clock.

An alert fires once when the last sixty seconds exceed the threshold, and is resolved once when they have fallen under
four fifths of it: a key that hovers at its threshold does not flap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from schemas.alerts import AlertState, VelocityAlert, VelocityAlertData

SIGNAL = "tokens_per_minute_by_key"
UNIT = "tokens/min"
WINDOW_S = 60
RESOLVE_PERCENT = 80
STALE_AFTER_S = 120

Verdict = Literal["fire", "resolve", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The key that is watched."""

    account_id: str
    key_id: str
    environment: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Tokens per minute above which an alert fires; `by_key` overrides it for single keys."""

    tokens_per_minute: int
    by_key: Mapping[str, int] = field(default_factory=dict)

    def of(self, key_id: str) -> int:
        """The threshold of a key."""
        return self.by_key.get(key_id, self.tokens_per_minute)


def judge(observed_tokens: int, threshold: int, *, firing: bool) -> Verdict:
    """What `observed_tokens` of the last sixty seconds mean for a key whose alert is `firing` or not."""
    if firing:
        return "resolve" if observed_tokens * 100 < threshold * RESOLVE_PERCENT else "keep"
    return "fire" if observed_tokens > threshold else "keep"


def is_stale(second: int, now_s: float) -> bool:
    """Whether a sample is too old to say anything about this minute: the loader is catching up."""
    return now_s - second > STALE_AFTER_S


def alert_id(subject: Subject, second: int) -> str:
    """The name of an alert that began in the given second; the same whoever derives it, so that a repeated one is absorbed."""
    return str(uuid5(NAMESPACE_URL, f"{SIGNAL}/{subject.key_id}/{second}"))


def alert_event(
    subject: Subject, name: str, state: AlertState, *, observed_tokens: int, threshold: int, second: int, now: datetime
) -> VelocityAlert:
    """The event of an alert that begins or ends with the given second. Its id follows from the alert and the state."""
    window_end = datetime.fromtimestamp(second + 1, UTC)
    return VelocityAlert(
        event_id=uuid5(NAMESPACE_URL, f"{name}/{state}"),
        occurred_at=now,
        account_id=subject.account_id,
        environment=subject.environment,
        data=VelocityAlertData(
            alert_id=name,
            signal=SIGNAL,
            state=state,
            subject_kind="key",
            subject_id=subject.key_id,
            observed=observed_tokens,
            threshold=threshold,
            unit=UNIT,
            window_start=window_end - timedelta(seconds=WINDOW_S),
            window_end=window_end,
            message=_message(subject, state, observed_tokens, threshold),
        ),
    )


def _message(subject: Subject, state: AlertState, observed_tokens: int, threshold: int) -> str:
    if state == "firing":
        return f"Key {subject.key_id} used {observed_tokens:,} tokens within a minute; its threshold is {threshold:,}."
    return f"Key {subject.key_id} is back at {observed_tokens:,} tokens per minute; its threshold is {threshold:,}."
