"""What a name holds steers no terminal."""

import io
import json

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


def test_json_writes_out_what_would_steer_a_terminal_and_means_the_same() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, width=20), Console(file=io.StringIO()))
    value = {"name": "a\u009b2J\u202eb\u200b\x1b\x7f\U000e0001 é 例 :smile:"}
    terminal.json(value)
    terminal.json_line(value)
    told = out.getvalue()
    assert all(each.isprintable() or each == "\n" for each in told)
    assert "é 例 :smile:" in told
    assert json.loads(told.splitlines()[-1]) == json.loads("".join(told.splitlines()[:-1])) == value


def test_a_table_in_a_pipe_keeps_every_cell_whole_on_its_line() -> None:
    out = io.StringIO()
    long = "0192f0a0-0000-7000-8000-" + "x" * 200
    Terminal(Console(file=out, width=40), Console(file=io.StringIO())).table(("id", "what"), [[long, "a b"], ["例\nb", None]])
    assert out.getvalue().split("\n")[1:3] == [f"{long}  a b", "例\\u000ab"]
