"""Rollups equal an independent fold of the events: under duplicates, replays, cuts at every step, and rows of before."""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from clickhouse_connect.driver.client import Client

from schemas.envelope import Event
from schemas.registry import topic_of
from services.analytics import warehouse_schema
from services.analytics.batch import Batch
from services.analytics.errors import TransientError
from services.analytics.placed_rows import last_batch_of
from services.analytics.placing import leave_out_known, place, place_again
from services.analytics.rollups import ROLLUPS, Rollup, add
from services.analytics.rows.decode import Row, decode
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.rollup_fold import fold, rollups_of
from tests.integration.analytics.stories import stories
from tests.unit.analytics.records import EXAMPLES, Record

# From the last minutes of a year into the next: a batch has parts in two months, and hours and minutes begin within it.
NEW_YEAR = datetime(2026, 12, 31, 23, 58, tzinfo=UTC)

LONG_AGO = datetime(2010, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=31)

FIRST_DAY = Span(0, int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 - 1)


class CutError(TransientError):
    """The process ends here."""


class CutWarehouse(Warehouse):
    """ClickHouse, with a cut before or after the n-th insert from now."""

    inserts_left: int | None = None
    after = False

    async def insert(self, table: Table, rows: Sequence[Row], batch_no: int, token: str) -> None:
        self._step(done=False)
        await super().insert(table, rows, batch_no, token)
        self._step(done=True)

    async def add(self, rollup: Rollup, batch_no: int, span: Span, token: str) -> None:
        self._step(done=False)
        await super().add(rollup, batch_no, span, token)
        self._step(done=True)

    def _step(self, *, done: bool) -> None:
        if self.inserts_left is None or done is not self.after:
            return
        self.inserts_left -= 1
        if self.inserts_left < 0:
            self.inserts_left = None
            raise CutError("cut")


@pytest.fixture
async def warehouse(engine_dir: Path, clickhouse: Client) -> AsyncIterator[CutWarehouse]:
    """A handle of the test's database, as the loader has it."""
    opened = CutWarehouse(connector("", engine_dir, str(clickhouse.database), max_threads=1), "test")
    yield opened
    await opened.close()


def records_of(events: Iterable[Event]) -> list[Record]:
    """The events as Kafka has them, in one partition of each topic."""
    return [Record(topic_of(type(event)), 0, offset, event.to_json()) for offset, event in enumerate(events)]


def json_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The records' events."""
    return [orjson.loads(record.value or b"") for record in records]


async def bring(warehouse: CutWarehouse, records: Sequence[Record], batch_no: int, *cuts: tuple[int, bool]) -> None:
    """Place a batch, cut at the given inserts, and again until it is whole."""
    batch = Batch.of(records)
    put = place
    for cut in (*cuts, None):
        warehouse.inserts_left, warehouse.after = cut or (None, False)
        decoded = decode(records)
        with suppress(CutError):
            await leave_out_known(warehouse, decoded, batch_no)
            await put(warehouse, decoded, batch, batch_no)
        put = place_again
    warehouse.inserts_left = None


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_comes_twice_and_wherever_it_is_cut_every_rollup_is_the_fold_of_the_events(
    clickhouse: Client, warehouse: CutWarehouse, seed: int
) -> None:
    rng = random.Random(seed)
    once = [event for story in stories(120, seed=seed, start=NEW_YEAR, spread_s=240) for event in story]
    written = [*once, *rng.sample(once, 100)]
    rng.shuffle(written)
    records, position, batch_no = records_of(written), 0, 0
    while position < len(records):
        batch_no += 1
        size = rng.randrange(1, 400)
        cuts = [(rng.randrange(12), rng.random() < 0.5) for _ in range(rng.choice((0, 0, 1, 3)))]
        await bring(warehouse, records[position : position + size], batch_no, *cuts)
        # Now and then positions are lost, and what was read is read again in other batches.
        position = rng.randrange(position) if position and rng.random() < 0.15 else position + size
    assert rollups_of(clickhouse) == fold(json_of(records))
    assert last_batch_of(clickhouse) <= batch_no
    clickhouse.command("OPTIMIZE TABLE usage_hour FINAL")
    assert rollups_of(clickhouse) == fold(json_of(records))


@pytest.mark.parametrize("after", [False, True])
async def test_a_batch_cut_at_each_insert_in_turn_is_counted_once(
    clickhouse: Client, warehouse: CutWarehouse, after: bool
) -> None:
    records = records_of(event for story in stories(60, seed=3, start=NEW_YEAR, spread_s=240) for event in story)
    await bring(warehouse, records, 1, *((step, after) for step in range(14)))
    assert rollups_of(clickhouse) == fold(json_of(records))


async def test_a_batch_of_more_months_than_a_server_takes_partitions_per_insert_is_placed(
    clickhouse: Client, warehouse: CutWarehouse
) -> None:
    told = [
        event
        for number in range(120)
        for story in stories(1, seed=number, start=LONG_AGO + number * MONTH)
        for event in story
        if event.type in {"RequestAccepted", "Captured"}
    ]
    assert len({event.occurred_at.strftime("%Y%m") for event in told if event.type == "Captured"}) > 100
    records = records_of(told)
    await bring(warehouse, records, 1)
    assert rollups_of(clickhouse) == fold(json_of(records))


async def test_every_event_type_that_a_rollup_sums_up_is_among_the_golden_examples_and_is_counted(
    clickhouse: Client, warehouse: CutWarehouse
) -> None:
    paths = sorted(EXAMPLES.rglob("*.json"))
    topics = {rollup.source.topic for rollup in ROLLUPS}
    records = [
        Record(path.relative_to(EXAMPLES).parts[0], 0, offset, path.read_bytes())
        for offset, path in enumerate(paths)
        if path.relative_to(EXAMPLES).parts[0] in topics
    ]
    await bring(warehouse, records, 1)
    poison = {(found.topic, found.offset) for found in decode(records).poison}
    good = [record for record in records if (record.topic, record.offset) not in poison]
    assert {kind for rollup in ROLLUPS for kind in rollup.types} <= {event["type"] for event in json_of(good)}
    assert rollups_of(clickhouse) == fold(json_of(good))


async def test_rows_of_before_there_were_rollups_are_in_them_once(clickhouse: Client, warehouse: CutWarehouse) -> None:
    records = records_of(event for story in stories(80, seed=4, start=NEW_YEAR, spread_s=240) for event in story)
    old, new = records[: len(records) // 2], records[len(records) // 4 :]
    decoded = decode(old)
    for number in range(2):
        # An older loader inserted what was replayed again: its rows stand twice until they are merged.
        for rollup in {rollup.source.name: rollup for rollup in ROLLUPS}.values():
            await warehouse.insert(rollup.source, decoded.rows[rollup.source.name], 0, f"old-{number}")
    clickhouse.command("ALTER TABLE schema_migration DELETE WHERE name = '0005-rollups' SETTINGS mutations_sync = 1")
    # The process that first applied the migration died behind the first day of two rollups.
    for rollup in ROLLUPS[:2]:
        await warehouse.call(partial(add, rollup=rollup, batch_no=0, span=FIRST_DAY, token=f"first-{rollup.table}", final=1))
    assert warehouse_schema.migrate(clickhouse) == ["0005-rollups"]
    assert rollups_of(clickhouse) == fold(json_of(old))
    await bring(warehouse, new, 1)
    assert rollups_of(clickhouse) == fold(json_of(records))


async def test_a_token_that_is_known_without_its_rows_does_not_keep_a_batch_out(
    clickhouse: Client, warehouse: CutWarehouse
) -> None:
    """As after a kill between the engine's note of the token and its keeping of the part."""
    records = records_of(event for story in stories(60, seed=9, start=NEW_YEAR) for event in story)
    batch, decoded = Batch.of(records), decode(records)
    for table in {rollup.source.name: rollup.source for rollup in ROLLUPS}.values():
        row = list(decoded.rows[table.name][0])
        row[table.names.index("event_id")] = 1
        await warehouse.insert(table, [tuple(row)], 0, batch.token(table, 1))
    for rollup in ROLLUPS:
        settings = {"insert_deduplication_token": f"1:{rollup.table}"}
        clickhouse.insert(rollup.table, [[NEW_YEAR]], column_names=["at"], settings=settings)
    await place_again(warehouse, decoded, batch, 1)
    counted = {table: {key: sums for key, sums in rows.items() if sums} for table, rows in rollups_of(clickhouse).items()}
    assert counted == fold(json_of(records))
