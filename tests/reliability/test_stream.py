"""A short run of the stream abuse, and that its disorder and its comparison are what they say."""

import random
from dataclasses import replace

import orjson

from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import completion, hold_for
from tests.reliability.books import read_books
from tests.reliability.ground import Ground
from tests.reliability.progress import Progress
from tests.reliability.stream import prove
from tests.reliability.stream_order import Sent, abused, end, forge, holds, is_late, true_events

EVENTS = 1_500


def test_an_abused_stream_comes_to_the_same_books_as_the_clean_one(database_url: str, kafka_bootstrap_servers: str) -> None:
    report = prove(Ground(database_url, kafka_bootstrap_servers), EVENTS, progress=Progress("stream", EVENTS, quiet=True))
    assert report.wrong == []
    assert len(report.stream.records) == EVENTS
    assert report.abused.cases["payload_mismatch"] == EVENTS // 100


def test_the_disorder_has_its_shares_and_keeps_every_event() -> None:
    dice = random.Random(1)
    made = [(hold, end(hold, dice)) for hold in holds(["a", "b"], true_events(1000), dice)]
    true = [(Sent(hold.account_id, event.to_json()), is_late(hold, event)) for hold, event in made]
    stream = abused(true, 1000, dice)
    assert (len(stream.records), stream.doubled, stream.reordered, stream.forged) == (1000, 200, 200, 10)
    assert {sent.value for sent, _ in true} <= {sent.value for sent in stream.records}
    assert [sent for sent, _ in true] != stream.records[: len(true)]
    late = {sent.value for sent, is_days_late in true if is_days_late}
    assert 0.03 < len(late) / 1000 < 0.07
    assert late & {sent.value for sent in stream.records[:500]} == set()


def test_a_forged_event_keeps_its_id_and_comes_after_the_true_one() -> None:
    dice = random.Random(1)
    hold = hold_for("a")
    value = end(hold, dice).to_json()
    forged = forge(value, dice)
    assert forged != value
    assert orjson.loads(forged)["event_id"] == orjson.loads(value)["event_id"]
    true = [(Sent("a", end(each, dice).to_json()), False) for each in holds(["a"], true_events(2000), dice)]
    first: dict[str, bytes] = {}
    for sent in abused(true, 2000, dice).records:
        first.setdefault(orjson.loads(sent.value)["event_id"], sent.value)
    assert set(first.values()) == {sent.value for sent, _ in true}


def test_books_that_differ_by_one_unit_are_told_apart(database_url: str) -> None:
    with running_ledger(database_url) as ledger:
        settled(ledger)
        books = read_books(database_url)
        assert books.broken == []
        assert books.differences(replace(books)) == []
        ledger.connection.execute("update bucket_balance set posted = posted + 1")
        assert len(books.differences(read_books(database_url))) == 2
        assert read_books(database_url).broken != []


def settled(ledger: Ledger) -> None:
    """One request, held and charged."""
    ledger.top_up("a", "credit", "1")
    hold = hold_for("a")
    ledger.held(hold)
    ledger.complete(completion(hold))
