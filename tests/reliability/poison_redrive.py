"""Has all dead letters read again by two at once, and again: what can be read by then is settled once, the rest stays there."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from services.settlement.database import connect
from services.settlement.redriving import RedriveOrder, Redriver
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import completion
from tests.reliability.books import read_books
from tests.reliability.population import placed
from tests.reliability.worker_run import TIMEOUT_MS

MENDED = "no_value"
"""The letters that are given the event which they lacked, as if whoever could not read them had learnt it."""
PAGE = 500


def redrive(ledger: Ledger, holder: str) -> tuple[int, list[str]]:
    """How many letters were mended and settled by redriving, and what went wrong."""
    mended = _mend(ledger, holder)
    letters = ledger.count("dead_letter")
    charged = len(ledger.rows("select from receipt"))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda author: _read_all(ledger, author), ["ada", "grace"]))
    after = read_books(ledger.url)
    again = _read_all(ledger, "ada")
    found = sum(both, Counter[str]())
    wrong = list(after.broken)
    if found["capture"] != mended or ledger.count("receipt") != charged + mended:
        wrong.append(f"{mended} letters could be read, redriving came to {found}")
    # What only the price book had refused completes a request that was completed since: a case, and no posting.
    repeated = found["second_completion"]
    if after.cases.get("second_completion", 0) != repeated:
        wrong.append(f"redriving came to {found}, the cases are {after.cases}")
    if again != Counter({"still_poison": letters - mended - repeated}):
        wrong.append(f"read once more, {letters - mended - repeated} letters should have stayed: {again}")
    return mended, wrong + read_books(ledger.url).differences(after)


def _mend(ledger: Ledger, holder: str) -> int:
    """Give the letters events of new requests. How many there are."""
    places = ledger.rows('select partition, "offset" from dead_letter where reason = %s', MENDED)
    for place, hold in zip(places, placed(ledger, [holder], len(places)), strict=True):
        ledger.connection.execute(
            'update dead_letter set payload = %s, key = %s where partition = %s and "offset" = %s',
            [completion(hold).to_json(), holder.encode(), place["partition"], place["offset"]],
        )
    return len(places)


def _read_all(ledger: Ledger, author: str) -> Counter[str]:
    """Every letter that waits, read again page by page over a connection of its own."""
    found = Counter[str]()
    with connect(ledger.url, statement_timeout_ms=TIMEOUT_MS) as connection:
        driver = Redriver(connection, book_of=ledger.books.version, case_owner="proof", case_max_age_days=1)
        after: tuple[int, int] | None = (-1, -1)
        while after is not None:
            answer = driver.run(RedriveOrder(author=author, after=after, limit=PAGE))
            found.update(answer["outcomes"])
            after = tuple(answer["next"]) if answer["next"] else None
    return found
