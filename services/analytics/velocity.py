"""How much a key may use within a minute, by the meter's settings, and what a minute is judged to be. Pure.

A minute exceeds above the threshold and is calm under four fifths of it; in between an alert stays what it was, so that a key
that hovers at its threshold does not flap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.analytics.alerts.verdict import Verdict

SIGNAL = "tokens_per_minute_by_key"
RULE = "tokens-per-minute"
UNIT = "tokens/min"
WINDOW_S = 60
CALM_PERCENT = 80
STALE_AFTER_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The key that is watched."""

    account_id: str
    key_id: str
    project_id: str = ""
    environment: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Tokens per minute above which an alert fires; `by_key` overrides it for single keys."""

    tokens_per_minute: int
    by_key: Mapping[str, int] = field(default_factory=dict)

    def of(self, key_id: str) -> int:
        """The threshold of a key."""
        return self.by_key.get(key_id, self.tokens_per_minute)


def verdict_on(subject: Subject, observed_tokens: int, threshold: int, second: int) -> Verdict:
    """What the sixty seconds that end with `second` mean for a key."""
    window_end = datetime.fromtimestamp(second + 1, UTC)
    return Verdict(
        rule=RULE,
        signal=SIGNAL,
        subject_kind="key",
        subject_id=subject.key_id,
        account_id=subject.account_id,
        project_id=subject.project_id,
        environment=subject.environment,
        exceeded=observed_tokens > threshold,
        calm=observed_tokens * 100 < threshold * CALM_PERCENT,
        observed=observed_tokens,
        threshold=threshold,
        unit=UNIT,
        window_start=window_end - timedelta(seconds=WINDOW_S),
        window_end=window_end,
        severity="page",
        keep_s=0,
    )


def is_untimely(second: int, now_s: float) -> bool:
    """Whether a sample is too old to say anything about this minute (the loader is catching up), or of a clock far ahead of
    ours: an alert of tomorrow could not end before tomorrow."""
    return abs(now_s - second) > STALE_AFTER_S
