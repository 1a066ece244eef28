"""The schema that editors check price files by refuses what settlement would refuse, and every shipped file fits both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.settlement.errors import InvalidError
from services.settlement.price_file import parse_book
from services.settlement.price_schema import FILE, main, render

CATALOG = Path(__file__).parents[2] / "deploy" / "catalog"
SHIPPED = sorted(CATALOG.rglob("prices.yaml"))
VALIDATOR = Draft202012Validator(json.loads(FILE.read_text("utf-8")))
Change = Callable[[dict[str, Any]], object]


def book() -> dict[str, Any]:
    bucket = {"id": "credit", "currency": "USD", "route_types": ["direct"]}
    price = {"route_type": "direct", "model": "m", "currency": "USD", "input": "2.5", "output": "10"}
    return {"version": 1, "buckets": [bucket], "prices": [price]}


def accepted(found: dict[str, Any]) -> bool:
    try:
        parse_book(yaml.safe_dump(found))
    except InvalidError:
        return False
    return True


MISTAKES: dict[str, Change] = {
    "no buckets": lambda found: found.pop("buckets"),
    "no prices": lambda found: found.pop("prices"),
    "an empty list": lambda found: found["prices"].clear(),
    "another form": lambda found: found.update(version=2),
    "an unknown field": lambda found: found.update(price=[]),
    "an unknown field of a price": lambda found: found["prices"][0].update(outptu="1"),
    "a number": lambda found: found["prices"][0].update(input=2.5),
    "a negative price": lambda found: found["prices"][0].update(input="-1"),
    "ten places": lambda found: found["prices"][0].update(input="0.0000000001"),
    "no output": lambda found: found["prices"][0].pop("output"),
    "an unknown route type": lambda found: found["prices"][0].update(route_type="loop"),
    "a bucket of no route type": lambda found: found["buckets"][0].update(route_types=[]),
    "an empty name": lambda found: found["prices"][0].update(model=""),
}
PARSER_ALONE: dict[str, Change] = {
    "another currency": lambda found: found["prices"][0].update(currency="CNY"),
    "a price twice": lambda found: found["prices"].append(dict(found["prices"][0])),
    "an absurd price": lambda found: found["prices"][0].update(input="200000000"),
    "a date that is none": lambda found: found.update(effective_from="soon"),
}
FINE: dict[str, Change] = {
    "as it is": lambda found: found,
    "with a date": lambda found: found.update(effective_from="2026-01-01"),
    "with cached prices": lambda found: found["prices"][0].update(cached_input="1", cache_write="0.125"),
    "without a form": lambda found: found.pop("version"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_schema_refuses_what_settlement_refuses(name: str) -> None:
    found = book()
    MISTAKES[name](found)
    assert (VALIDATOR.is_valid(found), accepted(found)) == (False, False)


@pytest.mark.parametrize("name", PARSER_ALONE)
def test_what_no_schema_can_say_settlement_still_refuses(name: str) -> None:
    found = book()
    PARSER_ALONE[name](found)
    assert (VALIDATOR.is_valid(found), accepted(found)) == (True, False)


@pytest.mark.parametrize("name", FINE)
def test_the_schema_takes_what_settlement_takes(name: str) -> None:
    found = book()
    FINE[name](found)
    assert (VALIDATOR.is_valid(found), accepted(found)) == (True, True)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CATALOG)))
def test_every_shipped_file_fits_the_schema_that_its_first_line_names(path: Path) -> None:
    text = path.read_text("utf-8")
    said, _, named = text.partition("\n")[0].partition("$schema=")
    assert said == "# yaml-language-server: "
    assert (path.parent / named).resolve() == FILE
    VALIDATOR.validate(yaml.safe_load(text))
    assert parse_book(text).sha256


def test_the_schema_on_disk_is_todays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(json.loads(render()))
    assert main(["--check"]) == 0
    assert main(["--check"], tmp_path / "prices.schema.json") == 1
    assert "make schemas" in capsys.readouterr().err
    assert main([], tmp_path / "prices.schema.json") == 0
    assert (tmp_path / "prices.schema.json").read_text("utf-8") == FILE.read_text("utf-8")
