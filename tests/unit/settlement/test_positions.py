"""Which records make a batch, and which make the worker halt."""

import pytest

from services.settlement.errors import OffsetGapError
from services.settlement.positions import Positions
from services.settlement.records import Record
from tests.integration.settlement.requests_made import completion, hold_for


def settling(offset: int, partition: int = 0) -> Record:
    return Record(partition, offset, b"a", completion(hold_for("a")).to_json(), "RequestCompleted")


def skipped(offset: int, partition: int = 0) -> Record:
    return Record(partition, offset, b"a", b"{}", "AttemptStarted")


def test_a_batch_ends_at_its_bound_and_the_next_one_begins_there() -> None:
    positions = Positions({0: (0, 0)})
    found = []
    for batch in positions.batches([settling(0), skipped(1), settling(2), settling(3), skipped(4)], limit=2):
        found.append((len(batch.incoming), batch.advances))
        positions.posted(batch)
    assert found == [(2, [(0, 0, 3, 3)]), (1, [(0, 3, 5, 4)])]
    assert positions.offsets == {0: 5}


def test_partitions_advance_together_and_each_for_itself() -> None:
    positions = Positions({0: (5, 5), 1: (9, 2)})
    batch = next(positions.batches([settling(5, 0), skipped(9, 1)], limit=10))
    assert batch.advances == [(0, 5, 6, 6), (1, 9, 10, 2)]
    assert positions.read_from == {0: 5, 1: 2} or positions.read_from[1] == 2


def test_records_without_postings_wait_until_they_are_worth_a_transaction() -> None:
    positions = Positions({0: (0, 0)})
    list(positions.batches([skipped(0), skipped(1)], limit=10))
    assert positions.unposted == 2
    batch = next(positions.batches([settling(2)], limit=10))
    assert batch.advances == [(0, 0, 3, 3)]


@pytest.mark.parametrize("record", [settling(3), skipped(3)])
def test_a_missing_record_halts(record: Record) -> None:
    with pytest.raises(OffsetGapError, match="records are missing"):
        list(Positions({0: (2, 2)}).batches([record], limit=10))


def test_records_that_the_ledger_has_are_left_out() -> None:
    positions = Positions({0: (5, 4)})
    batches = list(positions.batches([settling(3), skipped(4), settling(5)], limit=10))
    assert [len(batch.incoming) for batch in batches] == [1]


def test_a_settling_record_that_was_passed_over_halts() -> None:
    with pytest.raises(OffsetGapError, match="never settled"):
        list(Positions({0: (5, 3)}).batches([skipped(3), settling(4)], limit=10))


def test_poison_is_kept_apart_and_counts_for_the_bound() -> None:
    positions = Positions({0: (0, 0)})
    poison = Record(0, 0, b"a", b"{", "RequestCompleted")
    batches = list(positions.batches([poison, settling(1)], limit=1))
    assert [(len(batch.poison), len(batch.incoming)) for batch in batches] == [(1, 0), (0, 1)]
