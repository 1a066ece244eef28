"""How far a long work is: a bar where a person watches, a line per news elsewhere."""

import re
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from schemas.plain_text import shown

SHARE = re.compile(r"([0-9]+) of ([0-9]+)")


class Bar:
    """One work. It is gone when the work is done: what stays is the result."""

    def __init__(self, console: Console, tell: Callable[[str], None] | None, text: str) -> None:
        """`tell` is told of news where there is no terminal; None: nobody is told anything at all."""
        watched = console.is_terminal and tell is not None
        self._tell = None if watched else tell
        self._told = ""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not watched)
        self._work = self._progress.add_task(shown(text), total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def news(self, text: str) -> None:
        """What is being done now. `7 of 20` in it moves the bar."""
        if text == self._told:
            return
        self._told = text
        share = SHARE.search(text)
        done, total = (int(share[1]), int(share[2])) if share else (0, None)
        self._progress.update(self._work, description=shown(text), completed=done, total=total)
        if self._tell is not None:
            self._tell(f"  {text} …")
