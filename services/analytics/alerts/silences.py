"""Silences: what is not told for a while, by whom and why. Pure.

A silence names at least one of rule, subject, tag and account; whatever it names has to fit. Detection goes on beneath it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.analytics.alerts.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence. An empty word fits everything. `tag` is written name=value."""

    silence_id: str
    rule: str = ""
    subject_kind: str = ""
    subject_id: str = ""
    tag: str = ""
    account_id: str = ""
    until: datetime
    by: str
    reason: str
    created_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def of_one(self) -> bool:
        """Whether it can cover one alert at most."""
        return bool(self.rule and self.subject_kind and self.subject_id)

    def covers(self, verdict: Verdict, now: datetime) -> bool:
        """Whether it silences what the verdict is about."""
        if self.ended_at is not None or now >= self.until:
            return False
        asked = (
            (self.rule, verdict.rule),
            (self.subject_kind, verdict.subject_kind),
            (self.subject_id, verdict.subject_id),
            (self.account_id, verdict.account_id),
        )
        return all(not word or word == given for word, given in asked) and (not self.tag or self.tag in tags_of(verdict))


def tags_of(verdict: Verdict) -> tuple[str, ...]:
    """The tags that a verdict is about, each written name=value: its subject's own, and those that its detail names."""
    named = verdict.detail.get("tags", ())
    own = (verdict.subject_id,) if verdict.subject_kind == "tag" else ()
    return (*own, *(str(tag) for tag in named)) if isinstance(named, list | tuple) else own


def covering(silences: Iterable[Silence], verdict: Verdict, now: datetime) -> str | None:
    """The id of the silence that covers a verdict, of several the one that lasts longest; None where none does."""
    fitting = [each for each in silences if each.covers(verdict, now)]
    return max(fitting, key=lambda each: (each.until, each.silence_id)).silence_id if fitting else None
