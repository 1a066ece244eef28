"""Names hold nothing that hides, turns or breaks what people read."""

import unicodedata

import pytest

from schemas.plain_text import plain_text, shown, unplain

REFUSED = [
    "a\x00b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\x85b",
    "a\u202eb",
    "a\u2066b",
    "a\u200fb",
    "a\u061cb",
    "a\u2028b",
    "a\ud800b",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_mislead_a_reader_is_refused_by_its_code_point_and_shown_written_out(text: str) -> None:
    code = f"{ord(text[1]):04X}"
    assert unplain(text) == f"U+{code}"
    with pytest.raises(ValueError, match=rf"takes no control.*U\+{code}"):
        plain_text(text)
    assert shown(text) == f"a\\u{code.lower()}{text[2:]}"


@pytest.mark.parametrize("text", ["", "checkout-bot", "Köln 北京 счёт", "עברית", "👩‍💻", "a\u00a0b"])
def test_every_script_and_emoji_is_plain(text: str) -> None:
    assert unplain(text) is None
    assert plain_text(text) == shown(text) == text


def test_whole_categories_are_refused() -> None:
    found = {chr(code) for code in range(0x11_0000) if unicodedata.category(chr(code)) in {"Cc", "Cs", "Zl", "Zp"}}
    turning = {
        chr(code)
        for code in range(0x11_0000)
        if unicodedata.bidirectional(chr(code)) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    }
    assert [hex(ord(letter)) for letter in found | turning if unplain(letter) is None] == []
