"""`docs/cli.md` says of every command what its own help says."""

from pathlib import Path

import pytest

from services.console.reference import BEGIN, reference, written

DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_document_is_what_the_commands_say_of_themselves() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert written(text) == text, "run `make cli-docs`"


def test_every_group_and_its_commands_are_told_with_arguments_and_options() -> None:
    told = reference()
    assert "### tollbook keys rotate KEY" in told
    assert "- `--overlap` `TEXT`: For how long the former secret goes on" in told
    assert "### tollbook usage month [YYYY-MM]" in told
    assert "tollbook limits" not in told, "another name of budgets"


def test_the_reference_does_not_depend_on_who_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("USER", "somebody")
    assert reference() == before


def test_a_document_without_the_mark_is_left_alone() -> None:
    with pytest.raises(ValueError, match="make cli-docs"):
        written("# another document\n")
    assert BEGIN in DOCUMENT.read_text("utf-8")
