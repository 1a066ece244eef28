"""The meter's judgements: by the settings until rules are in force, then by each rule and what is usual."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.analytics.meter.judge import Judge
from services.analytics.meter.knowledge import Knowledge, ToldRules, ToldUsuals
from services.analytics.meter.watch import Watch
from services.analytics.meter.windows import Minute
from services.analytics.signals.baseline import Baseline
from services.analytics.signals.overrides import Subject
from services.analytics.signals.shares import Burned
from services.analytics.velocity import Thresholds

KEY = Subject(kind="key", id="k1", key="k1", account="a1", project="p1")
CHANNEL = Subject(kind="channel", id="c1", channel="c1")
RULES = """
rules:
  - id: runaway
    signal: tokens_per_minute_by_key
    floor: 1000
    factor: 4
    peak_factor: 1
    overrides: [{match: {project: p9}, floor: 50}]
  - {id: second, signal: tokens_per_minute_by_key, floor: 9000}
  - {id: errors, signal: error_rate_by_channel, floor: 0.2}
  - {id: burned, signal: failed_with_tokens, floor: 0.2, floor_tokens: 100}
"""


class Counted:
    """Windows that hold what a test puts into them, for whatever second is asked."""

    def __init__(self) -> None:
        self.tokens = 0
        self.tags: frozenset[str] = frozenset()
        self.channel = (0, Burned(tokens=0, burned_tokens=0, attempts=0, burned_attempts=0))

    def last_minute(self, _key_id: str, _second: int) -> Minute:
        return Minute(self.tokens, self.tags)

    def last(self, _channel: str, _second: int, _window_s: int) -> tuple[int, Burned]:
        return self.channel


@pytest.fixture
def knowledge(tmp_path: Path) -> Knowledge:
    told = Knowledge(tmp_path / "known.json")
    told.take_usuals(ToldUsuals(hour=1))
    return told


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def judge(knowledge: Knowledge, counted: Counted) -> Judge:
    return Judge(counted, counted, knowledge, Thresholds(tokens_per_minute=500))  # type: ignore[arg-type]


def exceeding(judge: Judge, subject: Subject) -> list[str]:
    return [verdict.rule for verdict in judge.judge(subject, 1_000_000) if verdict.exceeded]


def test_without_rules_keys_are_judged_by_the_settings_and_channels_by_nothing(judge: Judge, counted: Counted) -> None:
    counted.tokens = 501
    assert exceeding(judge, KEY) == ["tokens-per-minute"]
    assert judge.judge(CHANNEL, 1_000_000) == []


def test_each_rule_judges_by_its_own_words_once_rules_are_in_force(
    judge: Judge, counted: Counted, knowledge: Knowledge
) -> None:
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    counted.tokens = 501
    assert exceeding(judge, KEY) == []
    counted.tokens = 1_001
    assert exceeding(judge, KEY) == ["runaway"]
    counted.tokens = 51
    assert exceeding(judge, Subject(kind="key", id="k9", key="k9", project="p9")) == ["runaway"]
    knowledge.take_rules(ToldRules(version=2, file="rules: []"))
    assert judge.judge(KEY, 1_000_000) == []


def test_what_is_usual_for_a_key_raises_its_threshold(judge: Judge, counted: Counted, knowledge: Knowledge) -> None:
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    counted.tokens = 1_500
    assert exceeding(judge, KEY) == ["runaway"]
    usual = Baseline(centre=1_000, spread=0, peak=1_000, source="hour_of_week", hours=12)
    knowledge.take_usuals(ToldUsuals(hour=7, keys={"k1": usual}))
    assert exceeding(judge, KEY) == []
    counted.tokens = 4_001
    (runaway, _) = judge.judge(KEY, 1_000_000)
    assert (runaway.exceeded, runaway.threshold, runaway.baseline, runaway.account_id) == (True, 4_000, 1_000, "a1")


NIGHTLY = """
rules:
  - id: runaway
    signal: tokens_per_minute_by_key
    floor: 1000
    action: freeze_key
    overrides: [{match: {tag: "job=nightly"}, floor: 9000}]
"""


def test_a_request_without_the_tag_does_not_hold_against_a_key_what_it_used_under_it(
    judge: Judge, counted: Counted, knowledge: Knowledge
) -> None:
    knowledge.take_rules(ToldRules(version=1, file=NIGHTLY))
    counted.tokens = 5_000
    assert exceeding(judge, KEY) == ["runaway"]
    counted.tags = frozenset({"job=nightly"})
    assert exceeding(judge, KEY) == []
    assert exceeding(judge, replace(KEY, tags=("team=a",))) == []
    assert knowledge.tags == {"job=nightly"}


def test_a_meter_that_was_never_told_what_is_usual_waits_for_it_and_not_for_ever(
    judge: Judge, counted: Counted, knowledge: Knowledge
) -> None:
    knowledge.take_usuals(ToldUsuals())
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    counted.tokens = 1_001
    counted.channel = (9, Burned(tokens=1_000, burned_tokens=0, attempts=10, burned_attempts=0))
    assert [judge.judge(each, 1_000_000 + later) for each in (KEY, CHANNEL) for later in (0, 119)] == [[]] * 4
    assert [verdict.exceeded for verdict in judge.judge(KEY, 1_000_120)] == [True, False]
    knowledge.take_usuals(ToldUsuals(hour=7))
    assert exceeding(judge, KEY) == ["runaway"]


def test_channels_are_judged_by_failures_and_by_lost_tokens(judge: Judge, counted: Counted, knowledge: Knowledge) -> None:
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    counted.channel = (9, Burned(tokens=1_000, burned_tokens=0, attempts=10, burned_attempts=0))
    assert exceeding(judge, CHANNEL) == ["errors"]
    counted.channel = (0, Burned(tokens=1_000, burned_tokens=900, attempts=40, burned_attempts=36))
    assert exceeding(judge, CHANNEL) == ["burned"]


def test_what_was_told_outlives_the_process(knowledge: Knowledge) -> None:
    knowledge.take_rules(ToldRules(version=3, file=RULES))
    knowledge.take_usuals(ToldUsuals(hour=7))
    knowledge.keep()
    again = Knowledge(knowledge.path)
    again.recall()
    assert (again.version, again.rules, again.usuals.hour) == (3, knowledge.rules, 7)
    knowledge.path.write_text("{")
    fresh = Knowledge(knowledge.path)
    fresh.recall()
    assert fresh.version == 0


def test_what_exceeds_is_owed_until_analytics_has_heard_and_told_as_long_as_its_alert_is_open(
    judge: Judge, counted: Counted, knowledge: Knowledge
) -> None:
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    watch = Watch(judge, lambda: 1_000_010.0)
    counted.tokens = 9_500
    assert watch.see(KEY, 1_000_000)
    assert not watch.see(KEY, 1_000_001)
    told = watch.verdicts()
    assert sorted(verdict.rule for verdict in told) == ["runaway", "second"]
    rows = [
        {
            "rule": rule,
            "subject_kind": "key",
            "subject_id": "k1",
            "account_id": "a1",
            "project_id": "p1",
            "environment": "default",
        }
        for rule in ("runaway", "second")
    ]
    watch.heard(told, rows)
    counted.tokens = 10
    assert [(verdict.rule, verdict.calm) for verdict in watch.verdicts()] == [("runaway", True), ("second", True)]
    watch.heard(watch.verdicts(), [])
    assert (watch.verdicts(), watch.open_count) == ([], 0)


def test_an_open_alert_is_judged_after_a_restart_though_its_subject_was_not_seen(
    judge: Judge, counted: Counted, knowledge: Knowledge
) -> None:
    knowledge.take_rules(ToldRules(version=1, file=RULES))
    watch = Watch(judge, lambda: 1_000_010.0)
    row = {
        "rule": "errors",
        "subject_kind": "channel",
        "subject_id": "c1",
        "account_id": "",
        "project_id": "",
        "environment": "",
    }
    watch.heard([], [row])
    assert [(verdict.rule, verdict.calm) for verdict in watch.verdicts()] == [("errors", True)]
