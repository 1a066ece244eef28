"""Price books: what is read from YAML, and what is refused with its line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.money import Prices
from services.settlement.errors import InvalidError
from services.settlement.price_file import parse_book
from services.settlement.pricebook import book_from

CATALOG = Path(__file__).parents[3] / "deploy" / "catalog" / "prices.yaml"
GOOD = """
buckets:
  - {id: credit, currency: USD, route_types: [direct]}
  - {id: wallet, currency: CNY, route_types: [pooled, subscription]}
prices:
  - {route_type: direct, model: m, currency: USD, input: "2.5", output: "10"}
  - {route_type: pooled, model: m, currency: CNY, input: "1", cached_input: "0.5", cache_write: "2", output: "3"}
"""


def test_a_missing_cached_or_cache_write_price_is_the_input_price() -> None:
    book = parse_book(GOOD).as_book(7)
    assert book.prices["direct", "m"] == Prices(
        input=2_500_000_000, cached_input=2_500_000_000, cache_write=2_500_000_000, output=10_000_000_000
    )
    assert book.prices["pooled", "m"].cache_write == 2_000_000_000


def test_the_route_type_decides_the_bucket() -> None:
    book = parse_book(GOOD).as_book(7)
    assert {kind: (bucket.id, bucket.currency) for kind, bucket in book.buckets.items()} == {
        "direct": ("credit", "USD"),
        "pooled": ("wallet", "CNY"),
        "subscription": ("wallet", "CNY"),
    }
    assert book.bucket_named("wallet") is not None
    assert book.bucket_named("gold") is None


def test_a_book_read_back_from_its_canonical_form_is_the_same() -> None:
    document = parse_book(CATALOG.read_text("utf-8"))
    book = document.as_book(1)
    assert book == book_from(document.canonical, version=1, sha256=document.sha256)
    assert len(book.items) > 60


def test_order_spaces_and_comments_do_not_change_a_books_digest() -> None:
    lines = GOOD.strip().splitlines()
    turned = "\n".join(["# a remark", *lines[:4], lines[5], lines[4]])
    assert parse_book(turned).sha256 == parse_book(GOOD).sha256
    assert parse_book(GOOD.replace('"10"', '"10.0"')).sha256 == parse_book(GOOD).sha256
    assert parse_book(GOOD.replace('"10"', '"11"')).sha256 != parse_book(GOOD).sha256


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('input: "2.5"', "input: 2.5", 6, "string"),
        ('input: "2.5"', 'input: "-1"', 6, "not negative"),
        ('input: "2.5"', 'input: "NaN"', 6, "finite"),
        ('input: "2.5"', 'input: "0.0000000001"', 6, "nine decimal places"),
        (', output: "10"', "", 6, "output"),
        ("model: m, currency: CNY", "model: m, currency: USD", 7, "paid in CNY"),
        ("route_type: pooled", "route_type: direct", 7, "direct is paid in USD"),
        ("route_type: pooled", "route_type: loop", 7, "route_type"),
        ("id: wallet", "id: credit", 4, "named once"),
        ("[pooled, subscription]", "[direct]", 4, "one bucket"),
        ("[pooled, subscription]", "[]", 4, "route_types"),
        ("id: wallet,", "id: wallet, colour: red,", 4, "colour"),
        ('input: "2.5"', 'input: "2.5", input: "2.6"', 6, "input stands twice in the same place"),
        ("prices:", "buckets: []\nprices:", 5, "buckets stands twice in the same place"),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_reason(old: str, new: str, line: int, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidError) as refused:
        parse_book(GOOD.replace(old, new, 1))
    assert refused.value.param == f"line {line}"
    assert reason in refused.value.message


def test_a_model_has_one_price_per_route_type() -> None:
    twice = GOOD + '  - {route_type: direct, model: m, currency: USD, input: "1", output: "1"}\n'
    with pytest.raises(InvalidError, match="has a price already"):
        parse_book(twice)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!timestamp x",
        "{[]: 1}",
        "",
        "[]",
        "null",
        "a: b",
        "buckets: 1",
        "buckets: [1]\nprices: []",
        "{{",
        "- &a [*a]",
        "!!python/x 1",
    ],
)
def test_what_is_no_price_book_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse_book(text)
    assert refused.value.code == "invalid_price_book"


@pytest.mark.parametrize(
    ("old", "new", "where", "reason"),
    [
        ('input: "2.5"', "input: 2.5", "line 6, column 58", 'a price is a string, so that no digit is lost: write "2.5"'),
        ('input: "2.5"', 'input: "-1"', "line 6, column 58", "input: '-1' is not an amount"),
        ("model: m, currency: CNY", "model: m, currency: USD", "line 7, column 46", "paid in CNY"),
        ("id: wallet,", "id: wallet, colour: red,", "line 4, column 18", "colour: is not a field of a price file"),
        (', output: "10"', "", "line 6, column 5", "output: is missing"),
        ('output: "10"', 'output: "200000000"', "line 6, column 73", "prices are per million tokens"),
        ("buckets:", "colour: red\nbuckets:", "line 2, column 1", "colour: is not a field"),
        ("buckets:", "effective_from: soon\nbuckets:", "line 2, column 17", "write 2026-01-01 or 2026-01-01T00:00:00Z"),
        ("buckets:", "effective_from: 2026-01-01T00:00:00\nbuckets:", "line 2, column 17", "an instant needs an offset"),
    ],
)
def test_a_mistake_is_named_with_its_column(old: str, new: str, where: str, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidError) as refused:
        parse_book(GOOD.replace(old, new, 1))
    assert refused.value.message.startswith(where + ": "), refused.value.message
    assert reason in refused.value.message


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as refused:
        parse_book(GOOD.replace('output: "10"', 'output: "x"').replace('output: "3"', 'output: "y"'))
    assert [problem["line"] for problem in refused.value.facts["problems"]] == [6, 7]
    assert refused.value.message.endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ('"2026-01-01"', datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T08:00:00+08:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ('"2026-01-01T00:00:00Z"', datetime(2026, 1, 1, tzinfo=UTC)),
        ("null", None),
    ],
)
def test_a_date_is_an_instant_and_no_part_of_the_digest(written: str, meant: datetime | None) -> None:
    dated = parse_book(f"effective_from: {written}\n{GOOD}")
    assert (dated.effective_from, dated.sha256) == (meant, parse_book(GOOD).sha256)
