"""Which words of a rule count for a subject: the rule's own, and over them those of the overrides that fit. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

from schemas.alert_rules import Match, Rule
from services.analytics.alerts.verdict import SubjectKind

WEIGHTS = {"key": 32, "channel": 16, "project": 8, "model": 4, "tag": 2, "account": 1}
"""How much closer a word is than all that stand after it: a key's override wins over its project's and its tag's."""
OneRule = TypeVar("OneRule", bound=Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who or what is watched; what it does not have is empty. `tags` are written name=value."""

    kind: SubjectKind
    id: str
    key: str = ""
    project: str = ""
    account: str = ""
    channel: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    environment: str = ""


def fits(match: Match, subject: Subject) -> bool:
    """Whether everything that the match names is the subject's."""
    named = match.model_dump(exclude_none=True)
    tag = named.pop("tag", None)
    return (tag is None or tag in subject.tags) and all(getattr(subject, name) == value for name, value in named.items())


def closeness(match: Match) -> int:
    """The closer a match, the later its words are laid over the rule's."""
    return sum(WEIGHTS[name] for name in match.model_dump(exclude_none=True))


def rule_for(rule: OneRule, subject: Subject) -> OneRule:
    """The rule as it counts for the subject: of two that fit equally closely, the later in the file wins."""
    fitting = [each for each in rule.overrides if fits(each.match, subject)]
    if not fitting:
        return rule
    words: dict[str, object] = {}
    for override in sorted(fitting, key=lambda each: closeness(each.match)):
        words |= {name: getattr(override, name) for name in override.model_fields_set if getattr(override, name) is not None}
    words.pop("match")
    return cast(OneRule, rule.model_copy(update=words))


def watched(rules: Iterable[Rule], signal: str) -> list[Rule]:
    """The rules of a signal."""
    return [rule for rule in rules if rule.signal == signal]
