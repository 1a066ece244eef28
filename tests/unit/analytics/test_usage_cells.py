"""Texts of clients in a sheet: none of them is a formula to whoever opens it."""

import csv
import io

import pytest

from services.analytics.usage_api.cells import harmless

SIGNS = "=+-@\u2212\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", ["", " ", "\u00a0", '"', ' " '])
def test_a_text_that_begins_like_a_formula_begins_with_an_apostrophe(sign: str, before: str) -> None:
    text = f"{before}{sign}1+1"
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("sign", SIGNS)
def test_no_cell_is_a_formula_where_semicolons_part_cells(sign: str) -> None:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(["first", harmless(f'a;{sign}1;"{sign}2'), harmless(f"{sign}3"), 5])
    for cell in line.getvalue().replace('"', "").split(";"):
        assert not cell.strip().startswith(sign), cell
    for cell in next(csv.reader(io.StringIO(line.getvalue(), newline=""), delimiter=";")):
        assert not cell.strip(' "').startswith(sign), cell


@pytest.mark.parametrize("text", ["", "gpt-4o", "a=b", "a@b.example", "1-2", "team;red", "2026-11-26T00:00:00+01:00", "é😀"])
def test_another_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_what_no_name_may_hold_is_written_out() -> None:
    assert harmless("\t=1") == "\\u0009=1"
    assert harmless("a\r\n=1") == "a\\u000d\\u000a=1"
