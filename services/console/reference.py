"""Writes the reference of all commands into `docs/cli.md`, from the same words that `--help` shows: `make cli-docs`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from services.console.cli import app

BEGIN = "<!-- Everything below is written by `make cli-docs` from the commands' own help. -->"
EVERYWHERE = frozenset({"--help", "-h", "--json"})
"""Options that are told once, above."""


def reference() -> str:
    """Every command with its arguments and options, in Markdown."""
    root = typer.main.get_command(app)
    lines = ["", "## Options of every command", "", *_options(root), ""]
    for name, command in _commands(root, "tollbook"):
        lines += _command(name, command)
    return "\n".join(lines).rstrip() + "\n"


def written(text: str) -> str:
    """The document with the reference in place of what stands below the mark. Raises ValueError where there is no mark."""
    head, mark, _ = text.partition(BEGIN)
    if not mark:
        raise ValueError(f"the document has no line {BEGIN!r}")
    return f"{head}{mark}\n{reference()}"


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{name} {word}", command
        if getattr(command, "commands", None):
            yield from _commands(command, f"{name} {word}")


def _command(name: str, command: Any) -> list[str]:
    if getattr(command, "commands", None):
        return [f"## {name}", "", _prose(command.help), ""]
    arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
    told = [line for line in (_line(each) for each in command.params if each.param_type_name == "argument") if line]
    told += _options(command)
    depth = "###" if name.count(" ") > 1 else "##"
    return [f"{depth} {' '.join((name, *arguments))}", "", _prose(command.help), "", *told, *([""] if told else [])]


def _options(command: Any) -> list[str]:
    found = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    return [_line(each) for each in found if not EVERYWHERE & set(each.opts)]


def _line(param: Any) -> str:
    """One option or argument. What stands for itself is left out."""
    said = [_prose(getattr(param, "help", None)).removesuffix("[required]").strip()]
    if isinstance(param.default, str | int) and not isinstance(param.default, bool) and param.default != "":
        said.append(f"By default {param.default}.")
    variables = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or ())
    if variables:
        said.append(f"Variable: {', '.join(f'`{each}`' for each in variables)}.")
    text = " ".join(filter(None, said))
    if param.param_type_name == "argument":
        return f"- `{_argument(param)}`: {text}" if text else ""
    names = ", ".join(f"`{each}`" for each in (*reversed(param.opts), *param.secondary_opts))
    value = "" if param.is_flag else f" `{param.metavar or ('N' if param.bare_type() == 'int' else 'TEXT')}`"
    required = " (required)" if param.required else ""
    return f"- {names}{value}{required}{': ' if text else ''}{text}"


def _argument(param: Any) -> str:
    name = str(param.metavar or param.name).strip("[]").upper()
    return name if param.required else f"[{name}]"


def _prose(text: str | None) -> str:
    """The help as one paragraph after the other."""
    return "\n\n".join(re.sub(r"\s+", " ", part).strip() for part in (text or "").split("\n\n"))


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(written(document.read_text("utf-8")), "utf-8")
