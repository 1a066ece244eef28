"""A long work shows a bar where a person watches, lines where a log is kept, and nothing where a program reads."""

import io

from rich.console import Console

from services.console.terminal import Terminal

NEWS = ("read 7 of 20 records", "read 7 of 20 records", "comparing \x1b[2J")


def worked(*, terminal: bool, quiet: bool) -> str:
    """What stderr has of a work."""
    err = io.StringIO()
    console = Console(file=err, force_terminal=terminal, width=120, color_system=None)
    with Terminal(Console(file=io.StringIO()), console).working("auditing", quiet=quiet) as bar:
        for text in NEWS:
            bar.news(text)
    return err.getvalue()


def test_a_log_gets_every_news_once() -> None:
    assert worked(terminal=False, quiet=False) == "  read 7 of 20 records …\n  comparing \\u001b[2J …\n"


def test_a_program_is_told_nothing() -> None:
    assert worked(terminal=False, quiet=True) == worked(terminal=True, quiet=True) == ""


def test_a_person_sees_a_bar_that_moves_and_is_steered_by_nothing_in_it() -> None:
    shown = worked(terminal=True, quiet=False)
    assert "comparing \\u001b[2J" in shown
    assert "auditing" in shown or "read 7 of 20" in shown
    assert " …\n" not in shown
