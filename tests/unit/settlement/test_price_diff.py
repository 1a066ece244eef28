"""What differs between two price books, and what of it looks like a mistake."""

import pytest

from services.settlement.price_diff import changes, warnings
from services.settlement.price_file import parse_book
from services.settlement.pricebook import PriceBook, exported

TEXT = """
buckets:
  - {id: credit, currency: USD, route_types: [direct]}
prices:
  - {route_type: direct, model: m, currency: USD, input: "2.5", output: "10"}
  - {route_type: direct, model: n, currency: USD, input: "1", output: "4", cached_input: "0.1"}
"""


def book(old: str = "", new: str = "") -> PriceBook:
    return parse_book(TEXT.replace(old, new) if old else TEXT).as_book(1)


def test_only_what_differs_is_told_with_what_it_was_and_becomes() -> None:
    assert changes(book(), book()) == []
    changed = changes(book(), book('output: "10"', 'output: "12", cache_write: "3"'))
    assert [(each.id, each.change) for each in changed] == [("direct m", "changed")]
    assert changed[0].fields == {
        "output": {"before": "10.00", "after": "12.00"},
        "cache_write": {"before": "2.50", "after": "3.00"},
    }


def test_what_comes_and_what_goes_is_told_and_without_a_book_everything_comes() -> None:
    renamed = changes(book(), book("model: n,", "model: o,"))
    assert [(each.id, each.change) for each in renamed] == [("direct n", "removed"), ("direct o", "added")]
    assert [(each.kind, each.change) for each in changes(None, book())] == [
        ("bucket", "added"), ("price", "added"), ("price", "added"),
    ]  # fmt: skip


def test_a_bucket_that_changes_is_told() -> None:
    (found,) = changes(book(), book("route_types: [direct]", "route_types: [direct, pooled]"))
    assert (found.kind, found.id) == ("bucket", "credit")
    assert found.fields == {"route_types": {"before": ["direct"], "after": ["direct", "pooled"]}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('output: "10"', 'output: "100"', ["m on direct: output becomes 10 times what it was"]),
        ('input: "2.5"', 'input: "0.25"', [
            "m on direct: input becomes a 10th part of what it was",
            "m on direct: cached_input becomes a 10th part of what it was",
            "m on direct: cache_write becomes a 10th part of what it was",
        ]),
        ('output: "10"', 'output: "99.9"', []),
        ('input: "2.5", output: "10"', 'input: "0", output: "0"', ["m on direct is free"]),
        ('output: "10"', 'output: "2"', ["m on direct: output is cheaper than input"]),
        ('cached_input: "0.1"', 'cached_input: "0.9"', []),
        ('output: "10"', 'output: "10", cached_input: "3"', ["m on direct: cached input is dearer than input"]),
    ],
)  # fmt: skip
def test_what_looks_like_a_mistake_is_said(old: str, new: str, said: list[str]) -> None:
    assert warnings(book(), book(old, new)) == said


def test_an_exported_book_says_only_what_it_needs() -> None:
    assert exported(book())["prices"] == [
        {"route_type": "direct", "model": "m", "currency": "USD", "input": "2.50", "output": "10.00"},
        {"route_type": "direct", "model": "n", "currency": "USD", "input": "1.00", "output": "4.00", "cached_input": "0.10"},
    ]
