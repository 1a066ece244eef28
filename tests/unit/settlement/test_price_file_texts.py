"""Whatever text is sent as a price file, the answer is a book or a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.settlement.errors import InvalidError
from services.settlement.price_file import parse_book
from services.settlement.pricebook import BookDocument

PIECES = [
    "buckets",
    "prices",
    ":",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "!!int",
    "!!bool",
    "!!timestamp",
    "&a",
    "*a",
    "<<",
    "=",
    "?",
    "0x",
    "1:9",
    "2026-13-45",
    ".inf",
    "'",
    '"',
    "|",
    "%",
    "---",
    "\x00",
    "\ufeff",
    "x",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from([*PIECES, "\n", " ", ": ", "- "])).map("".join))


@given(text=TEXTS)
def test_any_text_is_a_price_book_or_a_refusal(text: str) -> None:
    try:
        found: object = parse_book(text)
    except InvalidError as refused:
        found = refused
    assert isinstance(found, BookDocument | InvalidError)


@pytest.mark.parametrize("value", ['!!int ""', "!!bool x", "2026-13-45", "0x_", "[" * 20_000, "&x [*x]"])
def test_a_value_that_breaks_a_loader_is_a_refusal(value: str) -> None:
    with pytest.raises(InvalidError, match=r"line 1, column|not YAML"):
        parse_book(f"buckets: {value}")
