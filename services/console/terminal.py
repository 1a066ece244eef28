"""Says things: text and tables for people, JSON for programs, progress where a person watches."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.plain_text import shown
from services.console.bar import Bar


class Terminal:
    """Results go to stdout; errors, hints and progress to stderr, so that a pipe carries results alone."""

    def __init__(self, out: Console, err: Console) -> None:
        self._out = out
        self._err = err

    def json(self, value: Any) -> None:
        """One JSON document."""
        self._out.print(json_text(value, indent=2), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def json_line(self, value: Any) -> None:
        """One JSON document on one line, for a program that reads as it comes."""
        self._out.print(json_text(value), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def write(self, text: str) -> None:
        """A part of the result, as it comes: no line ends but by the text's own."""
        self._out.print(
            _lines(text.replace("\t", "    ").replace("\r\n", "\n")), end="", markup=False, highlight=False, soft_wrap=True
        )

    def say(self, text: str, *, style: str | None = None) -> None:
        """One line of the result."""
        self._out.print(_lines(text), style=style, markup=False, highlight=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Rows under headings; None shows as nothing. Wide cells are folded on a terminal and kept whole in a pipe."""
        if not self._out.is_terminal:
            for line in _aligned(columns, rows):
                self._out.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
            return
        table = Table(*columns, box=None, pad_edge=False)
        for column in table.columns:
            column.overflow = "fold"
        for row in rows:
            table.add_row(*("" if cell is None else escape(_lines(str(cell))) for cell in row))
        self._out.print(table, highlight=False)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """A name and its value per line; what is nothing is left out."""
        shown = {name.replace("_", " "): _fact(value) for name, value in facts.items()}
        width = max(map(len, shown), default=0)
        for name, value in shown.items():
            if value is not None:
                self.say(f"{name:<{width}}  {value}")

    def progress(self, text: str) -> None:
        """Tell a person who waits how far the work is."""
        self._err.print(_lines(text), style="dim", markup=False, highlight=False, soft_wrap=True)

    def working(self, text: str, *, quiet: bool = False) -> Bar:
        """A long work, shown on stderr while it lasts; `quiet` where a program reads the result."""
        return Bar(self._err, None if quiet else self.progress, text)

    def error(self, text: str) -> None:
        """Why the command ends."""
        self._err.print(_lines(text), style="red", markup=False, highlight=False, soft_wrap=True)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON in which whatever is not printed, or turns the direction of what is read, is written out in ASCII."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def _aligned(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a table as wide as they are: what a program reads is neither folded nor cut."""
    told = [list(columns), *(["" if cell is None else shown(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*told, strict=True)]
    for row in told:
        yield "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def _fact(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {said}" for name, each in value.items() if (said := _fact(each))) or None
    if isinstance(value, list):
        return "; ".join(said for each in value if (said := _fact(each))) or None
    return None if value is None or value == "" else str(value)


def _lines(text: str) -> str:
    """The text without what could steer a terminal or turn its reading direction; its line breaks stay."""
    return "\n".join(shown(line) for line in text.split("\n"))
