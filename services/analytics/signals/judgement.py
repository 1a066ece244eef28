"""What a signal makes of one window of one subject. Pure."""

from dataclasses import dataclass, replace

CALM_PERCENT = 80
"""Under so much of its threshold a subject is back; in between it stays what it was, so that nothing flaps at the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One window against its threshold. `baseline` is None where too little is known of the subject."""

    exceeded: bool
    calm: bool
    observed: float
    threshold: float
    baseline: float | None
    unit: str


def level(observed: int, threshold: int, baseline: float | None, unit: str) -> Judgement:
    """A count or an amount against its threshold: exact, in whole numbers."""
    return Judgement(
        exceeded=observed > threshold,
        calm=observed * 100 < threshold * CALM_PERCENT,
        observed=observed,
        threshold=threshold,
        baseline=baseline,
        unit=unit,
    )


def share(observed: float, certain: float, threshold: float, baseline: float | None, *, enough: bool) -> Judgement:
    """A share against its threshold. `certain` is what it is at least, given how little was seen; it decides.

    Without `enough` events nothing is exceeded; what little there is may still keep an open alert open.
    """
    return Judgement(
        exceeded=enough and certain > threshold,
        calm=observed * 100 < threshold * CALM_PERCENT,
        observed=observed,
        threshold=threshold,
        baseline=baseline,
        unit="share",
    )


def sooner(whole: Judgement, latest: Judgement) -> Judgement:
    """Of a window and its latest part: exceeded where either is, calm where both are. What began just now is not drowned."""
    if latest.exceeded and not whole.exceeded:
        return latest
    return replace(whole, calm=whole.calm and latest.calm)
