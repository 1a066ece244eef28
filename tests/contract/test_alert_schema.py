"""The schema that editors check rule files by refuses what analytics would refuse, and the shipped file fits both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.analytics.errors import RulesRefusedError
from services.analytics.signals.rule_file import parse_rules
from services.analytics.signals.rule_schema import FILE, main, render

SHIPPED = Path(__file__).parents[2] / "deploy" / "catalog" / "alerts.yaml"
VALIDATOR = Draft202012Validator(json.loads(FILE.read_text("utf-8")))
Change = Callable[[dict[str, Any]], object]


def book() -> dict[str, Any]:
    rule = {
        "id": "r",
        "signal": "mix_change",
        "floor": 0.4,
        "for": "5m",
        "overrides": [{"match": {"account": "a"}, "floor": 0.5}],
    }
    return {"version": 1, "receivers": {}, "rules": [rule]}


def accepted(found: dict[str, Any]) -> bool:
    try:
        parse_rules(yaml.safe_dump(found))
    except RulesRefusedError:
        return False
    return True


MISTAKES: dict[str, Change] = {
    "no rules": lambda found: found.pop("rules"),
    "another form": lambda found: found.update(version=2),
    "an unknown field": lambda found: found.update(rule=[]),
    "an unknown signal": lambda found: found["rules"][0].update(signal="weather"),
    "no signal": lambda found: found["rules"][0].pop("signal"),
    "no floor": lambda found: found["rules"][0].pop("floor"),
    "a share above one": lambda found: found["rules"][0].update(floor=1.1),
    "a duration without a unit": lambda found: found["rules"][0].update({"for": "5"}),
    "another signal's action": lambda found: found["rules"][0].update(action="freeze_key"),
    "another signal's word": lambda found: found["rules"][0].update(floor_tokens=1),
    "an override of nobody": lambda found: found["rules"][0]["overrides"][0].update(match={}),
    "a tag without a value": lambda found: found["rules"][0]["overrides"][0].update(match={"tag": "a"}),
}
PARSER_ALONE: dict[str, Change] = {
    "an id twice": lambda found: found["rules"].append(dict(found["rules"][0])),
    "a receiver that is not there": lambda found: found["rules"][0].update(notify=["ops"]),
    "a window too short": lambda found: found["rules"][0].update(window="1s"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_schema_refuses_what_analytics_refuses(name: str) -> None:
    found = book()
    MISTAKES[name](found)
    assert (VALIDATOR.is_valid(found), accepted(found)) == (False, False)


@pytest.mark.parametrize("name", PARSER_ALONE)
def test_what_no_schema_can_say_analytics_still_refuses(name: str) -> None:
    found = book()
    PARSER_ALONE[name](found)
    assert (VALIDATOR.is_valid(found), accepted(found)) == (True, False)


def test_the_schema_takes_what_analytics_takes() -> None:
    assert (VALIDATOR.is_valid(book()), accepted(book())) == (True, True)


def test_the_shipped_file_fits_the_schema_that_its_first_line_names() -> None:
    text = SHIPPED.read_text("utf-8")
    said, _, named = text.partition("\n")[0].partition("$schema=")
    assert said == "# yaml-language-server: "
    assert (SHIPPED.parent / named).resolve() == FILE
    VALIDATOR.validate(yaml.safe_load(text))
    assert parse_rules(text).rules


def test_the_schema_on_disk_is_todays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(json.loads(render()))
    assert main(["--check"]) == 0
    assert main(["--check"], tmp_path / "alerts.schema.json") == 1
    assert "make schemas" in capsys.readouterr().err
    assert main([], tmp_path / "alerts.schema.json") == 0
    assert (tmp_path / "alerts.schema.json").read_text("utf-8") == FILE.read_text("utf-8")
