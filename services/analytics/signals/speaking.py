"""A judgement as a verdict: with the rule's words, the subject's name and the window. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.alert_rules import Rule
from services.analytics.alerts.verdict import Verdict
from services.analytics.signals.judgement import Judgement
from services.analytics.signals.overrides import Subject


def verdict_of(  # noqa: PLR0917 - what a verdict is made of
    rule: Rule, subject: Subject, found: Judgement, end_s: int, window_s: int, detail: Mapping[str, Any] | None = None
) -> Verdict:
    """What a rule says of a subject over the `window_s` seconds that end with `end_s`, from 1970."""
    end = datetime.fromtimestamp(end_s, UTC)
    return Verdict(
        rule=rule.id,
        signal=rule.signal,
        subject_kind=subject.kind,
        subject_id=subject.id,
        account_id=subject.account,
        project_id=subject.project,
        environment=subject.environment or "default",
        exceeded=found.exceeded,
        calm=found.calm,
        observed=found.observed,
        baseline=found.baseline,
        threshold=found.threshold,
        unit=found.unit,
        window_start=end - timedelta(seconds=window_s),
        window_end=end,
        severity=rule.severity,
        for_s=rule.for_s,
        keep_s=rule.keep_s,
        action=rule.action,
        receivers=rule.notify,
        runbook=rule.runbook,
        locked=rule.locked,
        detail={"tags": list(subject.tags), **(detail or {})},
    )
