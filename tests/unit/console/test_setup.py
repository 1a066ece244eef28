"""What `tollbook init` puts beside what is there, and what it makes of answers."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from services.console.errors import BadFileError, ConsoleError, NobodyAskedError
from services.console.setup.answers import Money, Questions, keys_of
from services.console.setup.catalog import Ready, merged_prices, merged_routes, providers, ready
from services.router.table import parse_table

CATALOG = Path(__file__).parents[3] / "deploy" / "catalog"
READY = CATALOG / "ready"
EMPTY: dict[str, Any] = {"version": 1, "channels": [], "models": []}


def demo(name: str) -> dict[str, Any]:
    """A file of the demo's catalog."""
    found: dict[str, Any] = yaml.safe_load((CATALOG / name).read_text("utf-8").replace("${TOLLBOOK_PROVIDER_URL}", "http://x"))
    return found


def openai(**told: Any) -> Ready:
    """OpenAI's ready-made files."""
    return ready(READY, "openai").told(**{"base_url": None, "keys": None, "channel_id": None, **told})


def table_is_one(document: dict[str, Any]) -> bool:
    """Whether router would take it. Raises where it would not."""
    return bool(parse_table(yaml.safe_dump(document).encode()).models)


def test_into_an_empty_table_everything_comes() -> None:
    merged = merged_routes(EMPTY, openai())
    assert merged.document == openai().table | {"version": 1}
    assert merged.added == len(openai().table["models"])
    assert table_is_one(merged.document)


@pytest.mark.parametrize("provider", providers(READY))
def test_beside_a_table_in_use_nothing_of_it_changes_but_for_a_last_place(provider: str) -> None:
    current, own = demo("routes.yaml"), ready(READY, provider)
    merged = merged_routes(current, own)
    assert table_is_one(merged.document)
    assert merged.document["channels"] == [*current["channels"], own.channel]
    now = {model["id"]: model for model in merged.document["models"]}
    for model in current["models"]:
        candidates = now[model["id"]]["candidates"]
        assert candidates[: len(model["candidates"])] == model["candidates"]
        assert [each["channel"] for each in candidates[len(model["candidates"]) :]] in ([], [own.channel["id"]])
        assert now[model["id"]] | {"candidates": model["candidates"]} == model
    assert {model["id"] for model in own.table["models"]} <= now.keys()


@pytest.mark.parametrize("current", [EMPTY, demo("routes.yaml")])
def test_a_second_time_changes_nothing(current: dict[str, Any]) -> None:
    once = merged_routes(current, openai()).document
    again = merged_routes(once, openai())
    assert (again.document, again.added, again.notes) == (once, 0, ())


def test_a_key_that_is_given_anew_replaces_that_of_the_channel_alone() -> None:
    once = merged_routes(demo("routes.yaml"), openai()).document
    kept = deepcopy(once)
    kept["channels"][-1]["keys"] = [{"kept": "0123456789ab"}]
    again = merged_routes(kept, openai(keys=keys_of(None, "sk-new")))
    assert again.document["channels"][-1]["keys"] == [{"secret": "sk-new"}]
    assert again.document["channels"][:-1] == once["channels"][:-1]
    assert again.notes == ("the channel openai gets its key anew",)


def test_a_channel_of_the_same_name_at_another_place_is_not_touched() -> None:
    current = merged_routes(EMPTY, openai(base_url="https://eu.api.openai.com/v1")).document
    with pytest.raises(ConsoleError, match="give --channel NAME"):
        merged_routes(current, openai())
    merged = merged_routes(current, openai(channel_id="openai-us"))
    assert [each["id"] for each in merged.document["channels"]] == ["openai", "openai-us"]
    assert merged.document["models"][0]["candidates"][-1]["channel"] == "openai-us"
    assert table_is_one(merged.document)


def test_prices_that_are_there_stay_and_missing_ones_come() -> None:
    current = demo("prices.yaml")
    current["prices"][0] |= {"input": "99"}
    assert merged_prices(current, openai()).added == 0
    own = ready(READY, "deepseek")
    merged = merged_prices(current, own)
    assert merged.added == 2
    assert merged.document["prices"] == [*current["prices"], *own.book["prices"]]
    assert merged_prices(merged.document, own).added == 0
    assert merged_prices(None, own).document == own.book


def test_a_route_type_that_is_paid_in_another_currency_is_left_to_a_person() -> None:
    current = demo("prices.yaml")
    current["buckets"][1]["currency"] = "EUR"
    with pytest.raises(ConsoleError, match="paid in EUR here"):
        merged_prices(current, ready(READY, "openrouter"))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="ready-made files of openai"):
        ready(tmp_path, "openai")
    assert providers(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "windows", "money"),
    [
        ("credit=20", False, Money(bucket="credit", amount="20")),
        ("wallet=0.5", False, Money(bucket="wallet", amount="0.5")),
        ("credit=50/day", True, Money(bucket="credit", amount="50", window="day")),
        ("credit=50", True, Money(bucket="credit", amount="50", window="month")),
    ],
)
def test_amounts_are_read(text: str, money: Money, *, windows: bool) -> None:
    assert Questions(yes=True, present=False).amounts([text], "q", "x=1", "--topup", windows=windows) == (money,)


@pytest.mark.parametrize(
    "text", ["credit", "credit=", "credit=0", "credit=-5", "=5", "credit=5/month", "credit=1e3", "credit=\u0665"]
)
def test_what_is_no_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as credit=20"):
        Questions(yes=True, present=False).amounts([text], "q", "x=1", "--topup", windows=False)


def test_nothing_is_an_answer_too() -> None:
    questions = Questions(yes=True, present=False)
    assert questions.amounts(["-"], "q", "x=1", "--topup", windows=False) == ()
    assert questions.amounts(None, "q", "-", "--topup", windows=False) == ()


def test_a_person_is_asked_until_the_answer_is_one_and_nobody_is_asked_where_nobody_is() -> None:
    said = iter(["moon", "gemini"])
    asked: list[str] = []

    def prompt(question: str, **_: Any) -> str:
        asked.append(question)
        return next(said)

    here = Questions(yes=False, present=True, prompt=prompt)
    assert here.choice(None, "Which", ["openai", "gemini"], "openai") == "gemini"
    assert asked == ["Which (openai, gemini)"] * 2
    with pytest.raises(NobodyAskedError, match="--yes"):
        Questions(yes=False, present=False).text(None, "Name", "main")
    assert Questions(yes=True, present=False).text(None, "Name", "main") == "main"
    with pytest.raises(typer.BadParameter, match="is none of"):
        here.choice("moon", "Which", ["openai"], "openai")
