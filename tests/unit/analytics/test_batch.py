"""Batches: recorded boundaries, repeatable tokens, no gap between one and the next."""

import pytest

from schemas import topics
from services.analytics.batch import Batch, Range
from services.analytics.errors import LogTruncatedError, RewoundError
from services.analytics.loader import check_follows
from services.analytics.rows.attempts import ATTEMPTS
from services.analytics.rows.completions import COMPLETIONS
from services.analytics.rows.requests import REQUESTS
from tests.unit.analytics.records import Record


def record(topic: str, partition: int, offset: int) -> Record:
    return Record(topic, partition, offset, b"{}")


RECORDS = [
    record(topics.ATTEMPTS, 3, 10),
    record(topics.ATTEMPTS, 3, 11),
    record(topics.REQUESTS, 0, 5),
    record(topics.ATTEMPTS, 0, 7),
    record(topics.ATTEMPTS, 3, 12),
]


def test_a_batch_spans_from_the_first_to_the_last_offset_of_each_partition() -> None:
    assert Batch.of(RECORDS).ranges == {
        (topics.ATTEMPTS, 0): Range(7, 7),
        (topics.ATTEMPTS, 3): Range(10, 12),
        (topics.REQUESTS, 0): Range(5, 5),
    }


def test_a_batch_survives_being_recorded() -> None:
    batch = Batch.of(RECORDS)
    assert Batch.from_json(batch.to_json()) == batch


def test_a_token_names_only_the_partitions_of_its_tables_topic() -> None:
    batch = Batch.of(RECORDS)
    assert batch.token(REQUESTS, 7) == "7:1:tollbook.requests.v1:0:5-5"
    assert batch.token(ATTEMPTS, 7) == "7:1:tollbook.attempts.v1:0:7-7,tollbook.attempts.v1:3:10-12"
    assert batch.token(COMPLETIONS, 7) == batch.token(ATTEMPTS, 7)


def test_reading_goes_on_behind_the_last_offset() -> None:
    assert Batch.of(RECORDS).next_offsets() == {(topics.ATTEMPTS, 0): 8, (topics.ATTEMPTS, 3): 13, (topics.REQUESTS, 0): 6}


def test_a_batch_that_begins_behind_the_end_of_the_one_before_halts_the_loader() -> None:
    with pytest.raises(LogTruncatedError, match=r"tollbook\.attempts\.v1/3"):
        check_follows(Batch.of(RECORDS), {(topics.ATTEMPTS, 3): 9})


def test_a_batch_that_begins_before_the_end_of_the_one_before_is_read_again() -> None:
    with pytest.raises(RewoundError, match=r"tollbook\.attempts\.v1/3"):
        check_follows(Batch.of(RECORDS), {(topics.ATTEMPTS, 3): 11})


@pytest.mark.parametrize("again", [12, 3])
def test_records_that_go_back_within_a_partition_are_no_batch(again: int) -> None:
    with pytest.raises(RewoundError, match=f"offset {again} came after 12"):
        Batch.of([*RECORDS, record(topics.ATTEMPTS, 3, again)])


def test_a_batch_may_follow_the_one_before_and_begin_partitions_that_are_new() -> None:
    check_follows(Batch.of(RECORDS), {(topics.ATTEMPTS, 3): 10, (topics.ATTEMPTS, 0): 7})
