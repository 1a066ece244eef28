"""What every command has: a sentence of help, `--json`, and completion in each shell."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from services.console.cli import app

CHECKOUT = Path(__file__).parents[3]
WITHOUT_JSON = {
    "receipt get",  # a document, byte by byte: JSON where it is signed, text for people otherwise
}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its name in full."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if subcommands := getattr(command, "commands", None):
            waiting += [(f"{name} {each}".strip(), sub) for each, sub in subcommands.items()]
        else:
            yield name, command


def test_every_command_says_what_it_does() -> None:
    found = dict(commands())
    assert len(found) > 30
    assert [name for name, command in found.items() if not (command.help or "").strip()] == []


def test_every_command_answers_programs_in_json() -> None:
    found = {name for name, command in commands() if not any("--json" in each.opts for each in command.params)}
    assert found == WITHOUT_JSON


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_completed(shell: str, tmp_path: Path) -> None:
    said = {
        "bash": {"COMP_WORDS": "tollbook accounts un", "COMP_CWORD": "2"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "tollbook accounts un"},
        "fish": {"_TYPER_COMPLETE_ARGS": "tollbook accounts un", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "_TOLLBOOK_COMPLETE": f"complete_{shell}", **said}
    done = subprocess.run(
        [sys.executable, "-m", "services.console"],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "unfreeze" in done.stdout, done.stderr


def test_completion_is_installed_for_the_shell_that_is_used(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for shell, made in (
        ("bash", ".bash_completions/tollbook.sh"),
        ("zsh", ".zfunc/_tollbook"),
        ("fish", ".config/fish/completions/tollbook.fish"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "services.console", "--install-completion", shell],
            cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, (tmp_path / made).is_file()) == (0, True), done.stdout + done.stderr
