"""The rule file: every mistake is named with its place, and the closest override wins."""

from pathlib import Path

import pytest

from schemas.alert_rules import TokensRule
from services.analytics.errors import RulesRefusedError
from services.analytics.signals.overrides import Subject, rule_for
from services.analytics.signals.rule_file import parse_rules

SHIPPED = Path("deploy/catalog/alerts.yaml")
OVERRIDDEN = """
receivers: {ops: {kind: slack, url: "${env:SLACK_WEBHOOK_URL}"}}
rules:
  - id: runaway
    signal: tokens_per_minute_by_key
    floor: 100
    notify: [ops]
    overrides:
      - {match: {key: k1}, floor: 900}
      - {match: {project: p1}, floor: 500, severity: page}
      - {match: {tag: "job=nightly"}, floor: 300, for: 1m}
      - {match: {key: k1, project: p1}, action: freeze_key}
      - {match: {tag: "job=nightly"}, keep: 10m}
      - {match: {account: a1}, enabled: false}
"""


def runaway(**subject: str | tuple[str, ...]) -> TokensRule:
    found = parse_rules(OVERRIDDEN).rules[0]
    assert isinstance(found, TokensRule)
    return rule_for(found, Subject(kind="key", id=str(subject.get("key", "k")), **subject))  # type: ignore[arg-type]


def test_the_shipped_rules_watch_every_signal_and_freeze_nobody() -> None:
    rules = parse_rules(SHIPPED.read_text("utf-8")).rules
    assert len({rule.signal for rule in rules}) == 6
    assert {rule.action for rule in rules} == {"none"}


def test_the_closest_override_wins_and_what_it_leaves_out_stays() -> None:
    found = runaway(key="k1", project="p1", tags=("job=nightly",))
    assert (found.floor, found.severity, found.for_s, found.keep_s, found.action) == (900, "page", 60, 600, "freeze_key")


@pytest.mark.parametrize(
    ("subject", "floor"),
    [({}, 100), ({"key": "k2"}, 100), ({"project": "p1"}, 500), ({"tags": ("job=nightly",)}, 300), ({"key": "k1"}, 900)],
)
def test_an_override_counts_for_those_whom_it_names_alone(subject: dict[str, str], floor: int) -> None:
    assert runaway(**subject).floor == floor


def test_an_override_can_switch_a_rule_off() -> None:
    assert (runaway(account="a1").enabled, runaway(account="a2").enabled) == (False, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mapping"),
        ("version: 1", "rules: is missing"),
        ("rules:\n  - {id: x, signal: >weather}", "rules.signal: has to be one of"),
        ("rules:\n  - {id: x, signal: mix_change, floor: >2}", "rules.floor"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, for: >5}", "write 5s"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, window: >10s}", "between 300s"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, >flor: 1}", "rules.flor: is not a field"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, >floor: 1}", "stands twice"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, notify: [>a]}", "no receiver a"),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, action: >freeze_key}", "none"),
        ("rules:\n  - {id: x, signal: spend_by_route, floor: {USD: >5}}", 'write "5"'),
        ("rules:\n  - {id: x, signal: mix_change, floor: 0.2, overrides: [{match: >{}}]}", "name a key"),
        ("receivers:\n  slack: {kind: slack, url: >x}\nrules: []", "receivers.slack.url"),
        (
            "rules:\n  - {id: >x, signal: mix_change, floor: 0.2}\n  - {id: x, signal: mix_change, floor: 0.2}",
            "names two rules",
        ),
        ("rules:\n  - {id: x, >signal: [}", "parsing"),
        ('rules:\n  - {id: x, signal: mix_change, floor: 0.1, runbook: >"a\\0"}', "rules.runbook"),
    ],
)
def test_a_mistake_is_named_with_its_line_column_and_reason(text: str, words: str) -> None:
    before, _, _ = text.partition(">") if ">" in text else ("", "", "")
    with pytest.raises(RulesRefusedError) as refused:
        parse_rules(text.replace(">", ""))
    first = refused.value.problems[0]
    place = (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
    assert words in first["reason"]
    assert words == "parsing" or (first["line"], first["column"]) == place
