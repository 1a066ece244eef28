"""A price book with a date counts from that very instant, for holds, and until then it can be taken back."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.envelope import now
from services.settlement import price_books
from services.settlement.book_store import BookStore, Publication
from services.settlement.errors import ConflictError, InvalidError, NotFoundError
from services.settlement.price_file import parse_book
from services.settlement.pricebook import BookDocument, exported
from tests.integration.settlement.ledger import PRICES, Ledger
from tests.integration.settlement.requests_made import candidate, completion, hold_for

CATALOG = PRICES.read_text("utf-8")


def priced(output: str, effective_from: datetime | None = None) -> BookDocument:
    """The catalog's book with another price of gpt-4o, from a date."""
    old = 'model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", output: "10"'
    assert old in CATALOG
    dated = f"effective_from: {effective_from.isoformat()}\n" if effective_from else ""
    return parse_book(dated + CATALOG.replace(old, old.replace('"10"', f'"{output}"')))


def soon(seconds: float) -> datetime:
    """An instant ahead, by the machine's clock, which is also the database's here."""
    return now() + timedelta(seconds=seconds)


def moved(ledger: Ledger, version: int, in_seconds: float) -> datetime:
    """Let a version's date be so far from now: what waiting does, at once."""
    shift = "update price_book set effective_from = clock_timestamp() + make_interval(secs => %s) where version = %s"
    ledger.as_owner(shift, in_seconds, version)
    (row,) = ledger.rows("select effective_from from price_book where version = %s", version)
    at: datetime = row["effective_from"]
    return at


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def states(ledger: Ledger) -> dict[int, str]:
    """Every version's status."""
    return {row["version"]: row["status"] for row in price_books.listed(ledger.connection, after=None, limit=100)}


def test_holds_are_priced_by_the_dated_book_from_its_instant_on_and_by_the_older_one_before(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "5000")
    other = BookStore(ledger.books._connect)  # another process: this one hears nothing
    book, new = other.publish(priced("20", soon(3600)))
    assert (book.version, new, ledger.books.in_force.version) == (2, True, 1)
    requests = [hold_for("a")]
    assert ledger.held(requests[0])["price_version"] == 1
    at = moved(ledger, 2, 1)
    while ledger.books.in_force.version == 1:
        requests.append(hold_for("a"))
        assert ledger.held(requests[-1])["price_version"] in {1, 2}
        assert now() < at + timedelta(seconds=60)
    rows = ledger.rows("select id, placed_at, price_version from hold order by placed_at")
    assert {row["price_version"] for row in rows} == {1, 2}
    assert all(row["price_version"] == (2 if row["placed_at"] >= at else 1) for row in rows)
    assert states(ledger) == {1: "superseded", 2: "in_force"}
    first, last = requests[0], requests[-1]
    ledger.complete(completion(first), completion(last))
    charges = [ledger.receipt("a", each.request_id)["charge"] for each in (first, last)]
    assert [charge["price_version"] for charge in charges] == [1, 2]
    assert charges[0]["amount_nano"] < charges[1]["amount_nano"]


def test_a_book_that_is_withdrawn_never_counts_and_keeps_its_number(ledger: Ledger) -> None:
    assert ledger.books.publish(priced("20", soon(3600)))[0].version == 2
    found, new = price_books.withdraw(ledger.connection, 2, reason="a slip", author="ann")
    assert (found["status"], found["withdrawn_by"], new) == ("withdrawn", "ann", True)
    assert price_books.withdraw(ledger.connection, 2, reason="again", author="bob") == (found, False)
    assert ledger.books.ahead() == []
    moved(ledger, 2, 0)
    ledger.top_up("a", "credit", "5")
    assert ledger.held(hold_for("a"))["price_version"] == 1
    assert ledger.publish(CATALOG.replace('output: "10"}', 'output: "11"}')) == 3
    assert states(ledger) == {1: "superseded", 2: "withdrawn", 3: "in_force"}


def test_a_book_that_counts_is_not_withdrawn(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="in force") as refused:
        price_books.withdraw(ledger.connection, 1, reason="too late", author="ann")
    assert refused.value.code == "price_book_counts"
    with pytest.raises(NotFoundError):
        price_books.withdraw(ledger.connection, 7, reason="no such", author="ann")


def test_a_book_of_now_does_not_cancel_a_dated_one(ledger: Ledger) -> None:
    at = soon(3600)
    ledger.books.publish(priced("20", at))
    assert ledger.books.publish(priced("15"))[0].version == 3
    assert ledger.books.in_force.version == 3
    assert [(book.version, date) for book, date, _ in ledger.books.ahead()] == [(2, at)]
    at = moved(ledger, 2, 0.5)

    def reread() -> bool:
        ledger.books.refresh()
        return ledger.books.in_force.version == 2

    wait_until(reread)
    assert now() >= at
    assert states(ledger) == {1: "superseded", 2: "in_force", 3: "superseded"}


def test_publishing_again_is_publishing_once_also_after_its_date(ledger: Ledger) -> None:
    book_of_a_date = priced("20", soon(3600))
    assert [ledger.books.publish(book_of_a_date)[1] for _ in range(3)] == [True, False, False]
    at = moved(ledger, 2, 0)
    book, new = ledger.books.publish(priced("20", at))
    assert (book.version, new, ledger.books.in_force.version) == (2, False, 2)


@pytest.mark.parametrize("seconds", [-86_400, 0, 0.2])
def test_a_date_that_is_not_ahead_is_refused(ledger: Ledger, seconds: float) -> None:
    with pytest.raises(InvalidError) as refused:
        ledger.books.publish(priced("20", soon(seconds)))
    assert refused.value.code == "effective_from_passed"
    assert states(ledger) == {1: "in_force"}


def test_two_books_do_not_begin_at_one_instant(ledger: Ledger) -> None:
    at = soon(3600)
    ledger.books.publish(priced("20", at))
    with pytest.raises(ConflictError) as refused:
        ledger.books.publish(priced("30", at))
    assert (refused.value.code, refused.value.facts) == ("effective_from_taken", {"version": 2})


def test_an_instant_is_taken_however_many_books_are_scheduled_and_free_once_its_book_is_withdrawn(ledger: Ledger) -> None:
    dates = [soon(3600 + number) for number in range(22)]
    versions = [ledger.books.publish(priced(f"2{number:02}", at))[0].version for number, at in enumerate(dates)]
    with pytest.raises(ConflictError) as refused:
        ledger.books.publish(priced("30", dates[-1]))
    assert (refused.value.code, refused.value.facts) == ("effective_from_taken", {"version": versions[-1]})
    price_books.withdraw(ledger.connection, versions[-1], reason="a slip", author="ann")
    assert ledger.books.publish(priced("30", dates[-1]))[0].version == versions[-1] + 1


def test_an_update_that_does_not_know_of_the_last_one_is_refused(ledger: Ledger) -> None:
    expect: Any = lambda version: Publication(author="ann", expected_version=version)  # noqa: E731
    assert ledger.books.publish(priced("11"), expect(1))[0].version == 2
    with pytest.raises(ConflictError) as refused:
        ledger.books.publish(priced("12"), expect(1))
    assert (refused.value.code, refused.value.facts) == ("price_book_moved", {"version": 2})
    far, farther = soon(3600), soon(7200)
    assert ledger.books.publish(priced("13", farther), expect(2))[0].version == 3
    # What a dated book replaces is what counts at its date.
    assert ledger.books.publish(priced("14", far), expect(2))[0].version == 4
    with pytest.raises(ConflictError):
        ledger.books.publish(priced("15", farther + timedelta(hours=1)), expect(2))
    assert ledger.books.publish(priced("15", farther + timedelta(hours=1)), expect(3))[0].version == 5


def test_every_version_is_exported_to_a_file_of_the_same_digest(ledger: Ledger) -> None:
    for document in (priced("11"), priced("12", soon(3600))):
        book, _ = ledger.books.publish(document)
        again = parse_book(str(exported(book)).replace("'", '"'))
        assert again.sha256 == book.sha256 == document.sha256


def test_a_database_whose_clock_went_back_puts_a_book_of_now_in_force_all_the_same(ledger: Ledger) -> None:
    ledger.as_owner("update price_book set published_at = clock_timestamp() + interval '1 hour' where version = 1")
    assert ledger.publish(CATALOG.replace('output: "10"}', 'output: "11"}')) == 2
    assert ledger.books.in_force.version == 2
    ledger.top_up("a", "credit", "5")
    assert ledger.held(hold_for("a", candidates=[candidate()]))["price_version"] == 2
