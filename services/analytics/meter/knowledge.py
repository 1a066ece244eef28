"""What the meter knows of rules and of what is usual: told by analytics, kept in a file so that a restart forgets nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, Field, ValidationError

from schemas.alert_rules import AlertRules, TokensRule
from services.analytics.errors import RulesRefusedError
from services.analytics.signals.baseline import Baseline
from services.analytics.signals.rule_file import parse_rules

Baselines = dict[str, Baseline]
log = structlog.get_logger("analytics.meter")


class ToldRules(BaseModel):
    """A version of the rules, as their file."""

    version: Annotated[int, Field(ge=0)] = 0
    file: str = "rules: []\n"


class ToldUsuals(BaseModel):
    """What is usual in one hour (from 1970), for keys and channels."""

    hour: int = 0
    keys: Baselines = Field(default_factory=dict)
    errors: Baselines = Field(default_factory=dict)
    burned: Baselines = Field(default_factory=dict)


class _Kept(BaseModel):
    rules: ToldRules
    usuals: ToldUsuals


@dataclass(slots=True)
class Knowledge:
    """`epoch` moves with every change: what was derived from the one before is derived anew. `tags` are those that rules of
    keys name."""

    path: Path
    version: int = 0
    rules: AlertRules = field(default_factory=lambda: parse_rules("rules: []"))
    tags: frozenset[str] = frozenset()
    usuals: ToldUsuals = field(default_factory=ToldUsuals)
    epoch: int = 0
    _file: str = ToldRules().file

    def recall(self) -> None:
        """Take what was kept by the process before; what cannot be read is learnt anew."""
        try:
            kept = _Kept.model_validate_json(self.path.read_bytes())
            self.take_rules(kept.rules)
            self.usuals = kept.usuals
        except FileNotFoundError:
            return
        except (OSError, ValidationError, RulesRefusedError) as error:
            log.warning("what the meter knew cannot be read, analytics is asked", error=type(error).__name__)

    def take_rules(self, told: ToldRules) -> None:
        """Judge by these rules from now on. Raises RulesRefusedError."""
        self.rules, self.version, self._file = parse_rules(told.file), told.version, told.file
        of_keys = [rule for rule in self.rules.rules if isinstance(rule, TokensRule)]
        self.tags = frozenset(each.match.tag for rule in of_keys for each in rule.overrides if each.match.tag is not None)
        self._changed()

    def take_usuals(self, told: ToldUsuals) -> None:
        """Judge against these baselines from now on."""
        self.usuals = told
        self._changed()

    def keep(self) -> None:
        """Write it down, whole or not at all."""
        kept = _Kept(rules=ToldRules(version=self.version, file=self._file), usuals=self.usuals)
        beside = self.path.with_suffix(".new")
        beside.write_text(kept.model_dump_json(), "utf-8")
        beside.replace(self.path)

    def _changed(self) -> None:
        self.epoch += 1
