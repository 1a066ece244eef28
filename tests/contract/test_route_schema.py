"""The JSON Schema of route files accepts what the parser accepts, and refuses what it refuses."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.router.errors import TableRejectedError
from services.router.table import parse_table
from services.router.table_schema import FILE, main, render

CATALOG = Path(__file__).parents[2] / "deploy" / "catalog"
SHIPPED = sorted(CATALOG.rglob("routes.yaml"))
VALIDATOR = Draft202012Validator(json.loads(FILE.read_text("utf-8")))
Json = dict[str, Any]
Change = Callable[[Json], Any]


def table() -> Json:
    """A small table that uses every field."""
    return deepcopy(
        {
            "version": 1,
            "channels": [
                {
                    **{"id": "main", "route_type": "direct", "brand": "openai", "dialect": "openai"},
                    **{"base_url": "https://api.openai.com/v1", "keys": [{"secret": "sk-1"}, {"secret_env": "OPENAI_API_KEY"}]},
                    **{"cost_factor": "0.80", "priority": 1, "weight": 2, "on_disconnect": "cancel"},
                    "limits": {"requests_per_minute": 5, "tokens_per_minute": 6, "concurrency": 7},
                }
            ],
            "models": [
                {
                    **{"id": "gpt-4o", "owned_by": "openai", "created": 0, "mode": "chat", "max_input_tokens": 10},
                    **{"max_output_tokens": 5, "image_tokens_bound": 3, "audio_input": False, "strategy": "fastest"},
                    **{"explore_percent": 5, "sticky": {"seconds": 60, "by": ["user"]}, "tokenizer": "unknown"},
                    **{"unknown_tokens_percent": 120, "candidates": [{"channel": "main", "upstream_model": "gpt-4o"}]},
                },
                {"id": "embed", "owned_by": "openai", "mode": "embedding", "max_input_tokens": 10,
                 "candidates": [{"channel": "main", "upstream_model": "embed", "priority": 0, "weight": 3}]},
            ],
        }
    )  # fmt: skip


def channel(**fields: Any) -> Change:
    """A change of the channel."""
    return lambda found: found["channels"][0].update(fields)


def model(**fields: Any) -> Change:
    """A change of the first model."""
    return lambda found: found["models"][0].update(fields)


def without(kind: str, field: str) -> Change:
    """The first of a kind without a field."""
    return lambda found: found[kind][0].pop(field)


def candidate(**fields: Any) -> Change:
    """A change of the first model's candidate."""
    return lambda found: found["models"][0]["candidates"][0].update(fields)


def weighted(found: Json) -> None:
    """A weight where weights count."""
    candidate(weight=3)(found)
    model(strategy="weighted", explore_percent=None)(found)


CHANGES: dict[str, Change] = {
    "the table as it is": lambda found: None,
    "a key in its exported form": channel(keys=[{"kept": "0123456789ab"}]),
    "no key": channel(keys=[]),
    "a key that is nothing": channel(keys=[{}]),
    "a key that is two things": channel(keys=[{"secret": "a", "secret_env": "OPENAI_API_KEY"}]),
    "a key with a null beside it": channel(keys=[{"secret": "a", "kept": None}]),
    "a secret with a space at its end": channel(keys=[{"secret": "sk "}]),
    "a secret beyond ASCII": channel(keys=[{"secret": "schlüssel"}]),
    "a variable of Tollbook's": channel(keys=[{"secret_env": "TOLLBOOK_ADMIN_TOKEN"}]),
    "a variable of the system's": channel(keys=[{"secret_env": "PATH"}]),
    "a variable that begins like one of the system's": channel(keys=[{"secret_env": "PATHWAY_API_KEY"}]),
    "a variable of Postgres'": channel(keys=[{"secret_env": "PGPASSWORD"}]),
    "a variable in small letters": channel(keys=[{"secret_env": "key"}]),
    "a field that nobody knows": channel(colour="red"),
    "a dialect that nobody speaks": channel(dialect="latin"),
    "an empty id": channel(id=""),
    "an id with a space": channel(id="a b"),
    "a factor that is a number": channel(cost_factor=0.8),
    "a factor that is none": channel(cost_factor="cheap"),
    "a factor of many digits": channel(cost_factor="0.1234567891"),
    "a whole factor": channel(cost_factor="12"),
    "limits of nothing": channel(limits={}),
    "limits of null": channel(limits={"concurrency": None}),
    "a limit of zero": channel(limits={"concurrency": 0}),
    "a limit as text": channel(limits={"concurrency": "5"}),
    "a negative priority": channel(priority=-1),
    "a priority of half": channel(priority=0.5),
    "true as a priority": channel(priority=True),
    "another way to disconnect": channel(on_disconnect="hang up"),
    "a channel without its address": without("channels", "base_url"),
    "a model without a word on output": without("models", "max_output_tokens"),
    "a model without candidates": model(candidates=[]),
    "chat without output": model(max_output_tokens=0),
    "embedding with output": model(mode="embedding"),
    "embedding with an output of zero": model(mode="embedding", max_output_tokens=0),
    "exploring by another strategy": model(strategy="cheapest"),
    "exploring by no strategy": without("models", "strategy"),
    "no exploring by another strategy": model(strategy="cheapest", explore_percent=None),
    "a strategy of null without exploring": model(strategy=None, explore_percent=None),
    "a weight that the strategy does not use": candidate(weight=3),
    "a weight of null": candidate(weight=None),
    "a weight where weights count": weighted,
    "stickiness by the same thing twice": model(sticky={"seconds": 5, "by": ["user", "user"]}),
    "stickiness by nothing": model(sticky={"seconds": 5, "by": []}),
    "stickiness by the weather": model(sticky={"seconds": 5, "by": ["weather"]}),
    "stickiness for a week": model(sticky={"seconds": 7 * 86_400}),
    "sound as text": model(audio_input="yes"),
    "a percentage below all": model(unknown_tokens_percent=99),
    "tokens as text": model(max_input_tokens="10"),
    "a version of tomorrow": lambda found: found.update(version=2),
    "no models": lambda found: found.update(models=[]),
    "no list of models": lambda found: found.pop("models"),
    "models that are a text": lambda found: found.update(models="gpt-4o"),
    "a candidate of two channels": candidate(channel=["main", "backup"]),
}  # fmt: skip
PARSER_ALONE: dict[str, Change] = {
    "a channel twice": lambda found: found["channels"].append(found["channels"][0]),
    "a model twice": lambda found: found["models"].append(found["models"][1]),
    "a candidate of a channel that is not there": candidate(channel="other"),
}


def parser_accepts(found: Json) -> bool:
    """Whether router takes the table."""
    try:
        parse_table(json.dumps(found).encode())
    except TableRejectedError:
        return False
    return True


@pytest.mark.parametrize("name", CHANGES)
def test_the_schema_and_the_parser_agree(name: str) -> None:
    found = table()
    CHANGES[name](found)
    assert VALIDATOR.is_valid(found) == parser_accepts(found)


def test_the_list_holds_both_accepted_and_refused_tables() -> None:
    verdicts = []
    for change in CHANGES.values():
        found = table()
        change(found)
        verdicts.append(VALIDATOR.is_valid(found))
    assert verdicts.count(True) >= 10
    assert verdicts.count(False) >= 35


@pytest.mark.parametrize("name", PARSER_ALONE)
def test_what_no_schema_can_say_the_parser_still_refuses(name: str) -> None:
    found = table()
    PARSER_ALONE[name](found)
    assert (VALIDATOR.is_valid(found), parser_accepts(found)) == (True, False)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CATALOG)))
def test_every_shipped_file_fits_the_schema_that_its_first_line_names(path: Path) -> None:
    text = path.read_text("utf-8")
    said, _, named = text.partition("\n")[0].partition("$schema=")
    assert said == "# yaml-language-server: "
    assert (path.parent / named).resolve() == FILE
    VALIDATOR.validate(yaml.safe_load(text))
    assert parser_accepts(yaml.safe_load(text))


def test_the_schema_on_disk_is_todays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(json.loads(render()))
    assert main(["--check"]) == 0
    assert main(["--check"], tmp_path / "routes.schema.json") == 1
    assert "make schemas" in capsys.readouterr().err
    assert main([], tmp_path / "routes.schema.json") == 0
    assert (tmp_path / "routes.schema.json").read_text("utf-8") == FILE.read_text("utf-8")
