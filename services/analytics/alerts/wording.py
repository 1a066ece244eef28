"""What an alert says in one sentence. Pure."""

from services.analytics.alerts.machine import Alert, Kind

SUBJECTS = {
    "tokens_per_minute_by_key": "used {observed} within a minute",
    "error_rate_by_channel": "has failed {observed} of its attempts",
    "fallback_frequency": "needed a fallback for {observed} of its requests",
    "spend_by_route": "spent {observed}",
    "mix_change": "sent {observed} of its requests elsewhere than usual",
    "failed_with_tokens": "lost {observed} of its tokens to failed attempts",
    "meter_silent": "has not been heard of for {observed}",
    "meter_lagging": "is {observed} behind",
    "loader_lagging": "is {observed} behind",
}
ENDS: dict[Kind, str] = {
    "acknowledged": "is looked after",
    "resolved": "is back within its bounds",
    "silenced": "is silenced",
    "unsilenced": "is heard of again",
}


def message(alert: Alert, kind: Kind) -> str:
    """What happened, in numbers."""
    verdict = alert.last
    subject = f"{verdict.subject_kind.capitalize()} {verdict.subject_id}"
    bound = f"its threshold is {quantity(verdict.threshold, verdict.unit)}"
    if verdict.baseline is not None:
        bound += f", usual are {quantity(verdict.baseline, verdict.unit)}"
    if kind in ENDS:
        return f"{subject} {ENDS[kind]}: {quantity(verdict.observed, verdict.unit)} now, {bound}."
    said = SUBJECTS.get(verdict.signal, "is at {observed}").format(observed=quantity(verdict.observed, verdict.unit))
    return f"{subject} {said}; {bound}."


def quantity(value: float, unit: str) -> str:
    """A number with its unit, as a person reads it."""
    if unit == "share":
        return f"{value:.1%}"
    if unit.startswith("nano "):
        return f"{value / 1e9:,.2f} {unit.removeprefix('nano ')}"
    if unit == "tokens/min":
        return f"{value:,.0f} tokens"
    if unit == "s":
        return f"{value:,.0f} s"
    return f"{value:,.6g} {unit}"
