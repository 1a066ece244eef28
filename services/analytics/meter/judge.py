"""The meter's judgements: its windows against the rules in force and what is usual. Pure over windows and knowledge."""

from collections.abc import Iterator
from dataclasses import asdict, replace

from schemas.alert_rules import BurnedRule, ErrorRateRule, TokensRule
from services.analytics.alerts.verdict import Verdict
from services.analytics.meter.channel_windows import ChannelWindows
from services.analytics.meter.knowledge import Knowledge
from services.analytics.meter.windows import TokenWindows
from services.analytics.signals.judgement import sooner
from services.analytics.signals.levels import NEVER, judge_tokens, tokens_threshold
from services.analytics.signals.overrides import Subject, rule_for
from services.analytics.signals.shares import judge_burned, judge_rate, latest_s, share_threshold
from services.analytics.signals.speaking import verdict_of
from services.analytics.velocity import WINDOW_S, Thresholds, verdict_on
from services.analytics.velocity import Subject as KeySubject

SIGNALS = ("tokens_per_minute_by_key", "error_rate_by_channel", "failed_with_tokens")
MOST_REMEMBERED = 50_000
HELD_S = 120
"""A meter that was never told what is usual waits so long for it: by the floors alone every busy key would be a runaway."""
MORE_THAN_ALL = 2.0
"""The threshold of a rule that is switched off for a channel: what is still open of it is calm."""
Known = list[tuple[TokensRule, int]]


class Judge:
    """Judges keys and channels. Without any rules in force keys are judged by the settings' thresholds alone."""

    def __init__(self, tokens: TokenWindows, channels: ChannelWindows, knowledge: Knowledge, thresholds: Thresholds) -> None:
        self._tokens = tokens
        self._channels = channels
        self._knowledge = knowledge
        self._thresholds = thresholds
        self._epoch = -1
        self._held_since: int | None = None
        self._of_key: dict[Subject, Known] = {}

    def judge(self, subject: Subject, second: int) -> list[Verdict]:
        """What every rule that watches the subject says of the windows that end with `second`."""
        if self._knowledge.version and self._waits(second):
            return []
        if subject.kind == "channel":
            return list(self._channel(subject, second))
        return list(self._key(subject, second))

    def _waits(self, second: int) -> bool:
        """Whether baselines are still to come; samples come by the warehouse that they come from."""
        if self._knowledge.usuals.hour:
            return False
        self._held_since = second if self._held_since is None else self._held_since
        return second - self._held_since < HELD_S

    def _key(self, subject: Subject, second: int) -> Iterator[Verdict]:
        observed, tags = self._tokens.last_minute(subject.id, second)
        if not self._knowledge.version:
            yield verdict_on(_as_key(subject), observed, self._thresholds.of(subject.id), second)
            return
        baseline = self._knowledge.usuals.keys.get(subject.id)
        if not tags.issubset(subject.tags):
            subject = replace(subject, tags=tuple(sorted(tags.union(subject.tags))))
        for rule, threshold in self._known(subject):
            found = judge_tokens(observed, threshold, baseline)
            yield verdict_of(rule, subject, found, second + 1, WINDOW_S)

    def _known(self, subject: Subject) -> Known:
        """The rules that count for a key, with their thresholds: derived once for each change of what is known."""
        if self._epoch != self._knowledge.epoch or len(self._of_key) > MOST_REMEMBERED:
            self._of_key.clear()
            self._epoch = self._knowledge.epoch
        found = self._of_key.get(subject)
        if found is None:
            baseline = self._knowledge.usuals.keys.get(subject.id)
            own = [rule_for(rule, subject) for rule in self._knowledge.rules.rules if isinstance(rule, TokensRule)]
            found = [(rule, tokens_threshold(rule, baseline) if rule.enabled else NEVER) for rule in own]
            self._of_key[subject] = found
        return found

    def _channel(self, subject: Subject, second: int) -> Iterator[Verdict]:
        for rule in self._knowledge.rules.rules:
            if isinstance(rule, ErrorRateRule):
                yield from self._errors(rule_for(rule, subject), subject, second)
            elif isinstance(rule, BurnedRule):
                yield from self._burned(rule_for(rule, subject), subject, second)

    def _errors(self, rule: ErrorRateRule, subject: Subject, second: int) -> Iterator[Verdict]:
        baseline = self._knowledge.usuals.errors.get(subject.id)
        threshold = share_threshold(rule, baseline) if rule.enabled else MORE_THAN_ALL
        windows = [self._channels.last(subject.id, second, each) for each in (rule.window_s, latest_s(rule.window_s))]
        whole, latest = (judge_rate(rule, failed, found.attempts, threshold, baseline) for failed, found in windows)
        detail = {"failed": windows[0][0], **asdict(windows[0][1])}
        yield verdict_of(rule, subject, sooner(whole, latest), second + 1, rule.window_s, detail)

    def _burned(self, rule: BurnedRule, subject: Subject, second: int) -> Iterator[Verdict]:
        baseline = self._knowledge.usuals.burned.get(subject.id)
        threshold = share_threshold(rule, baseline) if rule.enabled else MORE_THAN_ALL
        windows = [self._channels.last(subject.id, second, each)[1] for each in (rule.window_s, latest_s(rule.window_s))]
        whole, latest = (judge_burned(rule, found, threshold, baseline) for found in windows)
        yield verdict_of(rule, subject, sooner(whole, latest), second + 1, rule.window_s, asdict(windows[0]))


def _as_key(subject: Subject) -> KeySubject:
    return KeySubject(
        account_id=subject.account, key_id=subject.id, project_id=subject.project, environment=subject.environment or "default"
    )
