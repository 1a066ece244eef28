"""The list of requests behind a figure is what the events say: every one once, newest first, whatever is asked for."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.attempts import AttemptFinished, FallbackTaken, RequestCompleted
from schemas.envelope import Event
from schemas.requests import RequestRejected
from services.analytics.drilldown.desk import RequestDesk
from services.analytics.drilldown.question import Filter, Place, Question
from services.analytics.sqlfile import queries
from services.analytics.warehouse import connector
from tests.integration.analytics.stories import stories
from tests.integration.analytics.test_rollups import CutWarehouse, bring, records_of

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
UNTIL = BEGIN + timedelta(hours=5)
Ended = RequestCompleted | RequestRejected


@dataclass(frozen=True)
class World:
    """What was told, and who lists it."""

    events: list[Event]
    warehouse: CutWarehouse

    @property
    def ends(self) -> list[Ended]:
        """How every request ended, the newest first."""
        found = [event for event in self.events if isinstance(event, RequestCompleted | RequestRejected)]
        return sorted(found, key=lambda event: event.occurred_at, reverse=True)

    def ids(self, wanted: Callable[[Ended], bool]) -> list[Any]:
        """The requests that ended so, the newest first."""
        return [event.request_id for event in self.ends if wanted(event)]

    async def listed(self, only: Filter, limit: int = 500) -> list[dict[str, Any]]:
        """All pages."""
        rows: list[dict[str, Any]] = []
        after: Place | None = None
        while True:
            asked = Question(since=BEGIN, until=UNTIL, only=only, after=after, limit=limit)
            page = await RequestDesk(self.warehouse).page(asked)
            rows += page["data"]
            if page["next_after"] is None:
                return rows
            after = Place.read(page["next_after"])


@pytest.fixture
async def world(clickhouse: Client, engine_dir: Path, clickhouse_database: str) -> AsyncIterator[World]:
    """Three hours of requests."""
    loading = CutWarehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "load")
    told = [event for story in stories(300, seed=11, start=BEGIN, spread_s=10_000) for event in story]
    await bring(loading, records_of(told), 1)
    yield World(told, loading)
    await loading.close()


def held(wanted: Callable[[RequestCompleted], bool]) -> Callable[[Ended], bool]:
    """Of those that were not rejected."""
    return lambda event: isinstance(event, RequestCompleted) and wanted(event)


async def test_pages_hold_every_request_once_newest_first_as_its_event_says(world: World) -> None:
    everything = world.ids(lambda _: True)
    assert len(everything) == 300
    assert [row["request_id"] for row in await world.listed(Filter(), limit=37)] == everything
    assert [row["request_id"] for row in await world.listed(Filter(), limit=300)] == everything
    check_rows(world, {row["request_id"]: row for row in await world.listed(Filter())})


def check_rows(world: World, rows: dict[Any, dict[str, Any]]) -> None:
    """Every row says what its event says."""
    for event in world.ends:
        row, data = rows[event.request_id], event.data
        assert (row["at"], row["account_id"], row["key_id"]) == (event.occurred_at, event.account_id, data.key.key_id)
        assert (row["model"], row["tags"], row["http_status"]) == (data.requested_model, event.tags, data.http_status)
        if isinstance(event, RequestCompleted):
            paid = next((each for each in event.data.attempts if each.attempt == event.data.charged_attempt), None)
            usage = None if paid is None else paid.usage
            assert (row["outcome"], row["error"]) == (event.data.outcome, event.data.error_class)
            assert (row["attempts"], row["fallbacks"]) == (len(event.data.attempts), len(event.data.fallbacks))
            assert row["output_tokens"] == (usage.output_tokens if usage else 0)
            assert row["input_tokens"] == (usage.total_tokens - usage.output_tokens if usage else 0)
            assert (row["cost_nano"], row["currency"]) == (event.data.cost_nano, event.data.currency)
            assert row["channel"] == event.data.attempts[-1].channel
        else:
            assert (row["outcome"], row["error"], row["cost"]) == ("rejected", event.data.code, None)


async def test_filters_leave_what_they_name(world: World) -> None:
    cases: list[tuple[Filter, Callable[[Ended], bool]]] = [
        (Filter(key_id="key000100001"), lambda event: event.data.key.key_id == "key000100001"),
        (Filter(project_id="prj_2"), lambda event: event.data.key.project_id == "prj_2"),
        (Filter(tag="feature=chat"), lambda event: event.tags.get("feature") == "chat"),
        (Filter(tag="feature=chat", key_id="key000100001", fallbacks=True), held(_a_keys_moved_chat)),
        (Filter(model="gpt-4o"), lambda event: event.data.requested_model == "gpt-4o"),
        (Filter(outcomes=("failed", "rejected")), lambda event: getattr(event.data, "outcome", "rejected") != "succeeded"),
        (Filter(outcomes=("succeeded",)), held(lambda event: event.data.outcome == "succeeded")),
        (Filter(error="model_not_found"), lambda event: isinstance(event, RequestRejected)),
        (Filter(fallbacks=True), held(lambda event: bool(event.data.fallbacks))),
        (Filter(burned=True), held(_burned)),
        (Filter(channel="pool-a"), held(lambda event: event.data.attempts[-1].channel == "pool-a")),
        (Filter(accounts=frozenset({"acc_1"})), lambda event: event.account_id == "acc_1"),
        (Filter(accounts=frozenset()), lambda _: False),
        (Filter(key_id="' OR 1=1 --"), lambda _: False),
    ]
    for only, wanted in cases:
        expected = world.ids(wanted)
        assert [row["request_id"] for row in await world.listed(only, limit=20)] == expected, only
        assert bool(expected) != (only.accounts == frozenset() or "1=1" in only.key_id), only


def _a_keys_moved_chat(event: RequestCompleted) -> bool:
    return bool(event.data.fallbacks) and (event.tags.get("feature"), event.data.key.key_id) == ("chat", "key000100001")


def _burned(event: RequestCompleted) -> bool:
    return any(each.usage.total_tokens for each in event.data.attempts if each.attempt != event.data.charged_attempt)


async def test_requests_are_found_by_a_call_that_failed_however_they_ended(world: World) -> None:
    failed = [event for event in world.events if isinstance(event, AttemptFinished) and event.data.attempt.outcome == "failed"]
    for channel, error in (("openai-main", ""), ("openai-main", "timeout"), ("pool-a", "")):
        wanted = {
            event.request_id
            for event in failed
            if event.data.attempt.channel == channel and error in {"", event.data.attempt.error_class}
        }
        rows = await world.listed(Filter(failed_on=channel, error=error), limit=7)
        assert len(rows) == len(wanted) > 0
        assert {row["request_id"] for row in rows} == wanted
    ends = {row["outcome"] for row in await world.listed(Filter(failed_on="openai-main"))}
    assert ends == {"succeeded", "failed"}, "a request that another channel answered is among them"
    assert await world.listed(Filter(failed_on="nobody")) == []
    tagged = await world.listed(Filter(failed_on="openai-main", tag="feature=chat"))
    assert {row["tags"]["feature"] for row in tagged} == {"chat"}


async def test_requests_are_found_by_a_step_from_one_channel_to_another(world: World) -> None:
    steps = [event for event in world.events if isinstance(event, FallbackTaken)]
    wanted = {event.request_id for event in steps if event.data.fallback.from_channel == "openai-main"}
    rows = await world.listed(Filter(fell_from="openai-main", fell_to="openai-spare"), limit=9)
    assert {row["request_id"] for row in rows} == wanted
    assert len(rows) == len(wanted) > 0
    assert await world.listed(Filter(fell_from="openai-spare", fell_to="openai-main")) == []
    assert await world.listed(Filter(fell_to="pool-a", tag="feature=nobody's")) == []


async def test_a_row_that_stands_twice_is_listed_once(world: World) -> None:
    everything = await world.listed(Filter())
    for table in ("completions", "attempts"):
        again = f"INSERT INTO {table} SELECT * FROM {table} ORDER BY occurred_at DESC LIMIT 5"
        await world.warehouse.call(partial(Client.command, cmd=again))
    assert await world.listed(Filter(), limit=4) == everything
    failed = await world.listed(Filter(failed_on="openai-main"))
    assert len({row["request_id"] for row in failed}) == len(failed)


async def test_the_oldest_request_is_told_that_the_ledger_has_not_read(world: World) -> None:
    sql, ends = queries("drilldown.sql")["unsettled_since"], len(world.events)
    assert (await world.warehouse.rows(sql, {"partitions": [0], "next": [ends]}))[0]["at"] is None
    assert (await world.warehouse.rows(sql, {"partitions": [1], "next": [0]}))[0]["at"] is None
    now = datetime.now(UTC) - timedelta(seconds=90)
    late = [event for story in stories(20, seed=5, start=now) for event in story]
    await bring(world.warehouse, records_of(late), 2)
    first = await world.warehouse.rows(sql, {"partitions": [0], "next": [0]})
    ended = [event.occurred_at for event in late if isinstance(event, RequestCompleted)]
    assert first[0]["at"].replace(tzinfo=UTC) == min(ended)
    offsets = sorted(offset for offset, event in enumerate(late) if isinstance(event, RequestCompleted))
    rest = await world.warehouse.rows(sql, {"partitions": [0], "next": [offsets[10]]})
    assert rest[0]["at"].replace(tzinfo=UTC) == min(late[offset].occurred_at for offset in offsets[10:])
