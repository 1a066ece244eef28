"""How partitions are shared out among lanes."""

import pytest

from services.settlement.lanes import shared
from services.settlement.positions import Positions
from services.settlement.records import Record, outcome_of, read_ahead
from tests.integration.settlement.requests_made import completion, hold_for


def records(*sizes: int) -> list[Record]:
    """So many records in partition 0, 1, …"""
    return [Record(partition, offset, b"a", b"{}", "x") for partition, size in enumerate(sizes) for offset in range(size)]


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ((5, 5, 5, 5), [{0, 2}, {1, 3}]),
        ((9, 1, 1, 1), [{0}, {1, 2, 3}]),
        ((0, 7, 0, 0), [{0, 1, 2, 3}]),
        ((0, 7, 7, 0), [{1, 0}, {2, 3}]),
    ],
)
def test_every_partition_is_in_one_share_and_the_shares_are_as_even_as_partitions_allow(
    sizes: tuple[int, ...], shares: list[set[int]]
) -> None:
    found = shared(records(*sizes), range(4), 2)
    assert sorted(partition for share in found for partition in share) == [0, 1, 2, 3]
    loads = sorted(sum(sizes[partition] for partition in share) for share in found)
    assert loads == sorted(sum(sizes[partition] for partition in share) for share in shares)


def test_a_share_moves_its_own_partitions_and_the_whole_knows_of_it() -> None:
    positions = Positions({0: (0, 0), 1: (0, 0)})
    share = positions.of({1})
    (batch,) = share.batches([Record(1, 0, b"a", b"{}", "AttemptStarted")], limit=10)
    assert batch.advances == [(1, 0, 1, 0)]
    share.posted(batch)
    assert positions.offsets == {0: 0, 1: 1}


def test_what_was_read_ahead_is_what_would_have_been_read() -> None:
    good = Record(0, 0, b"a", completion(hold_for("a")).to_json(), "RequestCompleted")
    bad = Record(0, 1, b"a", b"{", "RequestCompleted")
    other = Record(0, 2, b"a", b"{", "AttemptStarted")
    expected = [repr(outcome_of(good)), repr(outcome_of(bad))]
    read_ahead([good, bad, other])
    assert other.outcome is None
    assert [repr(outcome_of(good)), repr(outcome_of(bad))] == expected
    assert good.outcome is None
