"""Why cost changed, on the embedded ClickHouse: effects equal what is computed by hand, totals equal the usage report."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from clickhouse_connect.driver.client import Client

from schemas.envelope import Event
from schemas.money import Usage
from schemas.registry import topic_of
from services.analytics.batch import Batch
from services.analytics.errors import QueryRefusedError
from services.analytics.placing import leave_out_known, place
from services.analytics.rows.decode import decode
from services.analytics.usage_api.api import sized
from services.analytics.usage_api.desk import UsageDesk
from services.analytics.usage_api.explain_desk import ExplainDesk
from services.analytics.usage_api.question import Question, question, span_against
from services.analytics.warehouse import QUERY_LIMITS, Warehouse, connector
from tests.integration.analytics.explained import Week, cost_of, price_book
from tests.integration.analytics.stories import stories
from tests.unit.analytics.records import Record

BEFORE, AFTER, END = (datetime(2026, 11, day, tzinfo=UTC) for day in (9, 16, 23))
BOOKS = [price_book(version, BEFORE - timedelta(days=3 - version)) for version in (1, 2)]
SIZE = Usage(input_tokens=1000, output_tokens=100)
SMALL, LARGE, POOLED = 1_200_000, 12_000_000, 8_400_000
"""What a request of that size costs, in nano."""
SMALL_V2 = 1_800_000
UPGRADED = ("price_version", "planned_route_type", "planned_model", "beside_nano")


@pytest.fixture
async def warehouse(engine_dir: Path, clickhouse: Client) -> AsyncIterator[Warehouse]:
    """A handle of the test's database."""
    opened = Warehouse(connector("", engine_dir, str(clickhouse.database), max_threads=1), "explain")
    yield opened
    await opened.close()


async def load(warehouse: Warehouse, events: Iterable[Event]) -> None:
    """Place the events as the loader does."""
    records = [Record(topic_of(type(event)), 0, offset, event.to_json()) for offset, event in enumerate(events)]
    decoded = decode(records)
    await leave_out_known(warehouse, decoded, 1)
    await place(warehouse, decoded, Batch.of(records), 1)


def ask(since: datetime = AFTER, until: datetime = END, **more: Any) -> Question:
    """The later span."""
    asked = {"zone": "UTC", "by": "", "grain": "none", "filters": {}, "tags": [], **more}
    return question(since.isoformat(), until.isoformat(), **asked, now=END, shows_channels=True)


async def explain(warehouse: Warehouse, asked: Question | None = None) -> dict[str, dict[str, Any]]:
    """Currency → its block, compared with as long a span right before."""
    after = asked or ask()
    begin, end = span_against(None, None, after)
    answer = await ExplainDesk(warehouse).explain(replace(after, since=begin, until=end), after)
    for each in answer["data"]:
        assert sum(effect["change_nano"] for effect in each["effects"]) == each["change_nano"]
        assert each["change_nano"] == each["after"]["cost_nano"] - each["before"]["cost_nano"]
    return {each["currency"]: each for each in answer["data"]}


def effects(block: dict[str, Any]) -> dict[str, int]:
    """Effect → nano, without those that are nothing."""
    return {each["effect"]: each["change_nano"] for each in block["effects"] if each["change_nano"]}


def weeks() -> tuple[Week, Week]:
    """Two weeks to fill."""
    return Week(BEFORE + timedelta(minutes=3)), Week(AFTER + timedelta(minutes=3))


async def told(warehouse: Warehouse, before: Week, after: Week) -> dict[str, dict[str, Any]]:
    """What is said of two weeks."""
    await load(warehouse, [*BOOKS, *before.events, *after.events])
    return await explain(warehouse)


async def test_volume_fallback_and_retry_are_what_they_are_by_hand(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(10, SIZE)
    after.charge(5, SIZE)
    after.charge(10, SIZE, beside=Usage(input_tokens=500))
    after.charge(5, SIZE, served=("direct", "large"), key="cron")
    after.lose(1_000_000)
    found = (await told(warehouse, before, after))["USD"]
    # 10 requests at 1.2 each, then 20 at 4.2: planned 1.2, fallbacks 5 x 10.8 / 20, retries (10 x 0.5 + 1) / 20.
    assert (found["before"]["cost_nano"], found["after"]["cost_nano"]) == (10 * SMALL, 84_000_000)
    assert effects(found) == {"volume": 27_000_000, "fallback": 40_500_000, "retry": 4_500_000}
    by = {each["effect"]: each for each in found["effects"]}
    (cron,) = [each for each in by["fallback"]["contributors"] if each["by"] == "key"]
    assert (cron["id"], cron["name"], cron["change_nano"]) == ("key0000000002", None, 40_500_000)
    assert "0.072 USD" in found["summary"]
    assert "100% more requests (10 → 20)" in found["summary"]
    assert "0 → 5 requests answered by another model or route than planned" in by["fallback"]["sentence"]
    assert by["cache"]["sentence"] == "Nothing from the providers' prompt caches."


async def test_mix_and_price_are_what_they_are_by_hand(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(8, SIZE)
    before.charge(2, SIZE, "large")
    after.charge(5, SIZE, version=2)
    after.charge(5, SIZE, "large", version=2)
    found = (await told(warehouse, before, after))["USD"]
    # Shares went 0.8 → 0.5 and 0.2 → 0.5, of requests that cost 1.5 and 12 on average; 6.5 of ten have a price that rose by 0.6
    assert effects(found) == {"mix": 31_500_000, "price": 3_900_000}
    (mix,) = [each for each in found["effects"] if each["effect"] == "mix"]
    (key,) = [each for each in mix["contributors"] if each["by"] == "key"]
    assert (key["moved_from"], key["moved_to"]) == ("small", "large")
    assert "key key0000000001 moving from small to large" in mix["sentence"]


async def test_sizes_of_prompts_and_answers_and_the_cache_are_what_they_are_by_hand(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(10, SIZE)
    before.charge(10, SIZE, "large")
    after.charge(10, Usage(input_tokens=1600, output_tokens=50))
    after.charge(10, Usage(input_tokens=400, cached_input_tokens=600, output_tokens=100), "large")
    found = (await told(warehouse, before, after))["USD"]
    assert effects(found) == {"prompt_size": 6_000_000, "output_size": -1_000_000, "cache": -54_000_000}
    assert "(0% → 23% of prompt tokens read from them)" in found["summary"]


async def test_a_fallback_into_the_other_currency_is_told_in_both(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(10, SIZE)
    after.charge(6, SIZE)
    after.charge(4, SIZE, served=("pooled", "small"))
    found = await told(warehouse, before, after)
    assert {currency: effects(each) for currency, each in found.items()} == {
        "USD": {"fallback": -4 * SMALL},
        "CNY": {"fallback": 4 * POOLED},
    }


async def test_charges_of_before_the_upgrade_are_explained_from_the_ledger(warehouse: Warehouse, clickhouse: Client) -> None:
    before, after = weeks()
    before.charge(10, SIZE, known=False)
    before.charge(2, SIZE, known=False, beside=Usage(input_tokens=500))
    after.charge(12, SIZE, version=2)
    await load(warehouse, [*BOOKS, *before.events, *after.events])
    for table in ("spend_minute", "spend_hour"):
        columns = [row[0] for row in clickhouse.query(f"DESCRIBE TABLE {table}").result_rows if row[0] not in UPGRADED]
        clickhouse.command(f"CREATE TABLE kept AS {table}")
        clickhouse.command(f"INSERT INTO kept SELECT * FROM {table}")
        clickhouse.command(f"TRUNCATE TABLE {table}")
        clickhouse.command(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns)} FROM kept")
        clickhouse.command("DROP TABLE kept SYNC")
    found = (await explain(warehouse))["USD"]
    assert effects(found) == {"price": 12 * (SMALL_V2 - SMALL), "retry": -1_000_000}
    (note,) = found["notes"]
    assert note.startswith("12 charged requests are of before charges recorded the first candidate of their plan")


async def test_prices_that_are_not_known_are_named_and_the_sum_is_right(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(10, SIZE)
    after.charge(10, Usage(input_tokens=2000, output_tokens=100), version=2)
    await load(warehouse, [BOOKS[0], *before.events, *after.events])
    found = (await explain(warehouse))["USD"]
    assert effects(found) == {"unpriced": cost_of(after.events) - cost_of(before.events)}
    assert "version 2 of the price book" in found["notes"][0]


async def test_filters_narrow_it_and_a_run_is_read_from_the_ledger(warehouse: Warehouse) -> None:
    before, after = weeks()
    before.charge(10, SIZE, run="run-1")
    before.charge(3, SIZE, "large", key="cron")
    after.charge(20, SIZE, run="run-1")
    await load(warehouse, [*BOOKS, *before.events, *after.events])
    for filters in ({"run_id": "run-1"}, {"key_id": "key0000000001"}, {"project_id": "prj_a"}, {"model": "small"}):
        found = await explain(warehouse, ask(filters=filters))
        assert effects(found["USD"]) == {"volume": 10 * SMALL}, filters
    assert await explain(warehouse, ask(accounts=frozenset({"acc_1"}))) == {}


async def test_a_span_without_requests_leaves_all_to_volume(warehouse: Warehouse) -> None:
    before, after = weeks()
    after.charge(10, SIZE)
    found = (await told(warehouse, before, after))["USD"]
    assert effects(found) == {"volume": 10 * SMALL}
    assert "10 charged requests where there had been none" in found["summary"]


@pytest.mark.parametrize("minutes", [0, 17, 59])
async def test_costs_equal_the_usage_report_of_the_same_spans_to_the_nano(warehouse: Warehouse, minutes: int) -> None:
    begin = AFTER - timedelta(days=1)
    await load(warehouse, [event for story in stories(300, seed=11, start=begin, spread_s=2 * 86_400) for event in story])
    after = ask(AFTER + timedelta(minutes=minutes), AFTER + timedelta(hours=20, minutes=2 * minutes + 1))
    start, end = span_against(None, None, after)
    blocks = await explain(warehouse, after)
    for name, asked in (("before", replace(after, since=start, until=end)), ("after", after)):
        report = await UsageDesk(warehouse).page(asked, 10, None)
        wanted = {each["currency"]: each["cost_nano"] for each in report["totals"]["costs"]}
        assert {currency: each[name]["cost_nano"] for currency, each in blocks.items()} == wanted
        assert len(wanted) == 2


async def test_costs_equal_the_usage_report_under_every_filter(warehouse: Warehouse) -> None:
    begin = AFTER - timedelta(days=1)
    await load(warehouse, [event for story in stories(200, seed=12, start=begin, spread_s=2 * 86_400) for event in story])
    compared = 0
    for name in ("upstream_model", "route_type", "channel", "bucket", "tag"):
        values = (await UsageDesk(warehouse).page(ask(begin, END, by=name), 3, None))["data"]
        for value in [row[name] for row in values if row[name] and row["costs"]]:
            narrow: dict[str, Any] = {"tags": [value]} if name == "tag" else {"filters": {name: value}}
            after = ask(AFTER + timedelta(minutes=5), AFTER + timedelta(hours=23, minutes=5), **narrow)
            blocks = await explain(warehouse, after)
            report = await UsageDesk(warehouse).page(after, 10, None)
            wanted = {each["currency"]: each["cost_nano"] for each in report["totals"]["costs"]}
            assert {key: each["after"]["cost_nano"] for key, each in blocks.items() if each["after"]["cost_nano"]} == wanted
            compared += bool(wanted)
    assert compared >= 8


async def test_costs_of_more_than_64_bits_are_explained_and_written(warehouse: Warehouse) -> None:
    before, after = (Week(begin, step=timedelta(hours=1)) for begin in (BEFORE, AFTER))
    before.lose(2**62)
    before.charge(1, SIZE)
    for _ in range(4):
        after.lose(2**62)
    after.charge(2, SIZE)
    found = (await told(warehouse, before, after))["USD"]
    assert found["after"]["cost_nano"] == 2**64 + 2 * SMALL
    assert f'"cost_nano":{2**64 + 2 * SMALL}'.encode() in orjson.dumps(sized(found))


async def test_spans_beyond_the_limits_are_refused_and_the_next_ones_explained(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = weeks()
    before.charge(2, SIZE)
    after.charge(2, SIZE, "large")
    after.charge(2, SIZE)
    await load(warehouse, [*BOOKS, *before.events, *after.events])
    with monkeypatch.context() as patched:
        patched.setitem(QUERY_LIMITS, "max_result_rows", 1)
        with pytest.raises(QueryRefusedError, match="too large to explain"):
            await explain(warehouse)
    assert effects((await explain(warehouse))["USD"]) != {}
