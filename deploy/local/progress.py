"""What the person at the terminal sees while the stack is set up."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Progress:
    """Steps with their durations: a spinner on a terminal, plain lines elsewhere; nothing when `quiet`."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show the step while its block runs, and how long it took once it is done."""
        began = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(f"{title} …"):
                yield
        else:
            yield
        self.console.print(f"[green]✔[/green] {title} [dim]{time.monotonic() - began:.1f} s[/dim]")

    def note(self, lines: Iterable[str]) -> None:
        """Show what a person should know although the step was done."""
        for line in lines:
            self.console.print(f"[yellow]![/yellow] {escape(line)}")
