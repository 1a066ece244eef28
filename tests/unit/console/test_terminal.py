"""What a name holds steers no terminal."""

import io

from rich.console import Console

from services.console.terminal import Terminal

EVIL = "a\x1b[2J\u202eb"
SAID = "a\\u001b[2J\\u202eb"


def test_text_tables_and_errors_write_out_what_would_steer_a_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(Console(file=out, width=120), Console(file=err, width=120))
    terminal.say(f"{EVIL}\nsecond line")
    terminal.table(("name",), [[EVIL]])
    terminal.error(EVIL)
    terminal.progress(EVIL)
    assert out.getvalue().split("\n")[:2] == [SAID, "second line"]
    assert out.getvalue().count(SAID) == err.getvalue().count(SAID) == 2
    assert "\x1b" not in out.getvalue() + err.getvalue()
