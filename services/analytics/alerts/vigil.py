"""Whether what watches is itself well: verdicts on the meter and the loader. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.analytics.alerts.verdict import Verdict

SILENT_AFTER_S = 15.0
LAGGING_AFTER_S = 10.0
CALM_SHARE = 0.8
KEEP_S = 15
UNKNOWN_GRACE_S = 60.0
"""How long after its own start analytics waits for a meter that was never heard of."""
SIGNALS = ("meter_silent", "meter_lagging", "loader_lagging")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of meter and loader. Ages are in seconds; None where a meter was never heard of, or nothing waits."""

    heard_s: float | None
    meter_lag_s: float | None
    loader_lag_s: float | None
    up_s: float


def verdicts(watched: Watched, now: datetime, receivers: tuple[str, ...]) -> list[Verdict]:
    """One for each signal about which something can be said."""
    seen = (
        ("meter_silent", "meter", _silent_s(watched), SILENT_AFTER_S),
        ("meter_lagging", "meter", watched.meter_lag_s, LAGGING_AFTER_S),
        ("loader_lagging", "loader", watched.loader_lag_s, LAGGING_AFTER_S),
    )
    said = [
        _judged(signal, subject, seconds, threshold, now) for signal, subject, seconds, threshold in seen if seconds is not None
    ]
    return [replace(verdict, receivers=receivers) for verdict in said]


def _silent_s(watched: Watched) -> float | None:
    """How long the meter has been silent. Nothing is held against it while analytics itself was not there to hear it."""
    if watched.heard_s is None:
        return watched.up_s if watched.up_s > UNKNOWN_GRACE_S else None
    return min(watched.heard_s, watched.up_s)


def _judged(signal: str, subject: str, observed: float, threshold: float, now: datetime) -> Verdict:
    return Verdict(
        rule=signal,
        signal=signal,
        subject_kind="system",
        subject_id=subject,
        exceeded=observed > threshold,
        calm=observed < threshold * CALM_SHARE,
        observed=round(observed, 3),
        threshold=threshold,
        unit="s",
        window_start=now - timedelta(seconds=max(observed, 0.0)),
        window_end=now,
        severity="page",
        keep_s=KEEP_S,
    )
