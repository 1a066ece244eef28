"""Usage reports on the embedded ClickHouse: counts equal a fold of the completions, cost a fold of the ledger's events."""

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import orjson
import pytest
from clickhouse_connect.driver.client import Client

from schemas.envelope import Event
from schemas.ledger import Captured
from schemas.money import parse_amount
from schemas.registry import topic_of
from services.analytics.batch import Batch
from services.analytics.errors import QueryRefusedError
from services.analytics.placing import leave_out_known, place
from services.analytics.rows.decode import decode
from services.analytics.usage_api import desk, report
from services.analytics.usage_api.desk import UsageDesk
from services.analytics.usage_api.question import cursor, keys_of, question
from services.analytics.warehouse import QUERY_LIMITS, Warehouse, connector
from tests.integration.analytics.stories import stories
from tests.unit.analytics.records import Record

BEGIN = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
SPAN = {"since": "2026-11-20T20:00:00Z", "until": "2026-11-22T20:00:00Z"}
Key = Callable[[dict[str, Any]], str]
TAG = "feature"


@pytest.fixture
async def warehouse(engine_dir: Path, clickhouse: Client) -> AsyncIterator[Warehouse]:
    """A handle of the test's database."""
    opened = Warehouse(connector("", engine_dir, str(clickhouse.database), max_threads=1), "usage")
    yield opened
    await opened.close()


@pytest.fixture
def told() -> list[Event]:
    """Two days of requests, every other one of a run."""
    found: list[Event] = []
    for number, story in enumerate(stories(150, seed=7, start=BEGIN, spread_s=2 * 86_400 - 600)):
        run = f"run-{number % 3}" if number % 2 else None
        found += [event.model_copy(update={"run_id": run}) for event in story]
    return found


async def load(warehouse: Warehouse, events: Iterable[Event]) -> list[dict[str, Any]]:
    """Place the events as the loader does; their JSON."""
    records = [Record(topic_of(type(event)), 0, offset, event.to_json()) for offset, event in enumerate(events)]
    decoded = decode(records)
    await leave_out_known(warehouse, decoded, 1)
    await place(warehouse, decoded, Batch.of(records), 1)
    return [orjson.loads(record.value or b"") for record in records]


def ask(warehouse: Warehouse, **more: Any) -> Any:
    """A page of a report."""
    limit, after, accounts = more.pop("limit", 1000), more.pop("after", None), more.pop("accounts", None)
    asked = {"zone": "UTC", "by": "", "grain": "none", "filters": {}, "tags": [], **SPAN, **more}
    about = question(**asked, now=BEGIN + timedelta(days=2), shows_channels=True, accounts=accounts)
    return UsageDesk(warehouse).page(about, limit, keys_of(after) if after else None)


def spent(events: list[dict[str, Any]], key: Key) -> dict[tuple[str, str], int]:
    """What was charged by key and currency, from the ledger's events."""
    found: Counter[tuple[str, str]] = Counter()
    for event in events:
        data = event["data"]
        if event["type"] == "Captured":
            found[key(event), data["balance"]["currency"]] += data["captured_nano"] + data.get("overrun_nano", 0)
        elif event["type"] == "Expired":
            found[key(event), data["currency"]] += data.get("charged_nano", 0)
    return {each: nano for each, nano in found.items() if nano}


def asked_of(events: list[dict[str, Any]], key: Key) -> Counter[str]:
    """Requests that ended, by key."""
    return Counter(key(event) for event in events if event["type"] == "RequestCompleted")


def costs(report: dict[str, Any], name: str) -> dict[tuple[str, str], int]:
    """The same, as the report says."""
    return {(row[name], cost["currency"]): cost["cost_nano"] for row in report["data"] for cost in row["costs"]}


def _day(zone: str) -> Key:
    return lambda event: datetime.fromisoformat(event["occurred_at"]).astimezone(ZoneInfo(zone)).date().isoformat()


def _hour(zone: str) -> Key:
    """Back from the event, minute by minute, to where its hour began: at a full hour, or where the clocks were set by less."""
    place, minute = ZoneInfo(zone), timedelta(minutes=1)

    def begun(event: dict[str, Any]) -> str:
        at = datetime.fromisoformat(event["occurred_at"]).replace(second=0, microsecond=0)
        while (local := at.astimezone(place)).minute:
            if (local - (at - minute).astimezone(place)) != minute:
                break
            at -= minute
        return at.astimezone(place).isoformat()

    return begun


DIMENSIONS: list[tuple[str, str, Key]] = [
    ("account", "account_id", lambda event: event["account_id"]),
    ("project", "project_id", lambda event: event["data"]["key"]["project_id"]),
    ("key", "key_id", lambda event: event["data"]["key"]["key_id"]),
    ("model", "model", lambda event: event["data"]["requested_model"]),
    ("run", "run_id", lambda event: event.get("run_id") or ""),
]


async def test_by_every_dimension_requests_equal_the_completions_and_cost_the_ledger(
    warehouse: Warehouse, told: list[Event]
) -> None:
    events = await load(warehouse, told)
    for by, name, key in DIMENSIONS:
        report = await ask(warehouse, by=by)
        assert {row[name]: row["requests"] for row in report["data"] if row["requests"]} == asked_of(events, key)
        assert costs(report, name) == spent(events, key)
    whole = Counter[str]()
    for (_, currency), nano in spent(events, lambda _: "").items():
        whole[currency] += nano
    assert {each["currency"]: each["cost_nano"] for each in report["totals"]["costs"]} == whole
    assert len(whole) == 2


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_a_day_begins_at_midnight_in_the_time_zone(warehouse: Warehouse, told: list[Event], zone: str) -> None:
    events = await load(warehouse, told)
    report = await ask(warehouse, grain="day", zone=zone)
    assert {row["day"]: row["requests"] for row in report["data"] if row["requests"]} == asked_of(events, _day(zone))
    assert costs(report, "day") == spent(events, _day(zone))
    hours = await ask(warehouse, grain="hour", zone=zone)
    assert sum(row["requests"] for row in hours["data"]) == sum(asked_of(events, _day(zone)).values())


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("Australia/Lord_Howe", "2026-04-04T12:00:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-03T12:00:00+00:00"),
        ("America/Vancouver", "2026-11-01T00:00:00+00:00"),
        ("Asia/Kathmandu", "2026-11-20T00:00:00+00:00"),
        ("Africa/Casablanca", "2026-11-20T00:00:00+00:00"),
    ],
)
async def test_days_and_hours_are_those_of_the_zone_in_whose_midnights_the_range_is_named(
    warehouse: Warehouse, zone: str, begin: str
) -> None:
    start = datetime.fromisoformat(begin)
    events = await load(warehouse, [event for story in stories(80, seed=3, start=start, spread_s=90_000) for event in story])
    span = {"since": begin, "until": (start + timedelta(days=2)).isoformat(), "zone": zone}
    report = await ask(warehouse, grain="day", **span)
    assert {row["day"]: row["requests"] for row in report["data"] if row["requests"]} == asked_of(events, _day(zone))
    hours = await ask(warehouse, grain="hour", **span)
    assert {row["hour"]: row["requests"] for row in hours["data"] if row["requests"]} == asked_of(events, _hour(zone))


async def test_pages_in_turn_are_the_whole_report(warehouse: Warehouse, told: list[Event]) -> None:
    await load(warehouse, told)
    whole = await ask(warehouse, by="key,model", grain="day")
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = await ask(warehouse, by="key,model", grain="day", limit=7, after=after)
        found += page["data"]
        after = page["next_after"]
        if after is None:
            break
    assert found == whole["data"]
    assert whole["next_after"] is None


async def test_filters_and_the_account_narrow_every_figure(warehouse: Warehouse, told: list[Event]) -> None:
    events = await load(warehouse, told)
    one = events[0]["account_id"]
    own = [event for event in events if event["account_id"] == one]
    report = await ask(warehouse, by="account", accounts=frozenset({one}))
    assert costs(report, "account_id") == spent(own, lambda event: event["account_id"])
    assert [row["account_id"] for row in report["data"]] == [one]
    assert (await ask(warehouse, by="account", accounts=frozenset()))["data"] == []
    model = "gpt-4o"
    of_model = [event for event in events if event["data"].get("requested_model") == model]
    report = await ask(warehouse, by="model", filters={"model": model})
    assert costs(report, "model") == spent(of_model, lambda _: model)
    of_run = [event for event in events if event.get("run_id") == "run-1"]
    report = await ask(warehouse, by="run", filters={"run_id": "run-1"})
    assert costs(report, "run_id") == spent(of_run, lambda _: "run-1")


async def test_tags_sum_by_name_and_value_and_the_totals_count_a_request_once(warehouse: Warehouse, told: list[Event]) -> None:
    tagged = [
        event.model_copy(update={"tags": {TAG: "search", "team": f"t{number % 2}"} if number % 3 else {}})
        for number, event in enumerate(told)
    ]
    events = await load(warehouse, tagged)
    by_value = await ask(warehouse, by=f"tag:{TAG}")
    assert costs(by_value, f"tag:{TAG}") == spent(events, lambda event: event["tags"].get(TAG, ""))
    every = await ask(warehouse, by="tag")
    assert {row["tag"] for row in every["data"]} == {"", f"{TAG}=search", "team=t0", "team=t1"}
    assert every["totals"] == by_value["totals"]
    only = await ask(warehouse, by=f"tag:{TAG}", tags=["team=t1", TAG])
    chosen = [event for event in events if event["tags"].get("team") == "t1"]
    assert costs(only, f"tag:{TAG}") == spent(chosen, lambda _: "search")


async def test_a_sheet_of_many_pages_has_every_line_once_and_the_sums_of_the_report(
    warehouse: Warehouse, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(warehouse, told)
    page = await ask(warehouse, by="key,model", grain="hour")
    monkeypatch.setattr(desk, "LINES_AT_ONCE", 7)
    about = question(SPAN["since"], SPAN["until"], "UTC", "key,model", "hour", {}, [], BEGIN)
    lines = [line async for line in await UsageDesk(warehouse).lines(about)]
    assert len(lines) == 1 + -(-len(page["data"]) // 7) > 10
    sheet = list(csv.DictReader(io.StringIO(b"".join(lines).decode(), newline="")))
    assert [(row["hour"], row["key_id"], row["model"], int(row["requests"])) for row in sheet] == [
        (row["hour"], row["key_id"], row["model"], row["requests"]) for row in page["data"]
    ]
    for cost in page["totals"]["costs"]:
        assert sum(parse_amount(row[f"cost_{cost['currency']}"]) for row in sheet) == cost["cost_nano"]


async def test_a_sheet_of_nothing_has_its_head(warehouse: Warehouse) -> None:
    about = question(SPAN["since"], SPAN["until"], "UTC", "model", "none", {}, [], BEGIN)
    lines = [line async for line in await UsageDesk(warehouse).lines(about)]
    assert lines == [report.csv_head(about, [])]


AWKWARD = (
    "a=b",
    "=1+1",
    "'",
    '"',
    "\\",
    "{x:String}",
    "%s",
    "a;b",
    "é😀",
    "\U0001f469\u200d\U0001f4bb",
    "a\u00a0b",
    "v" * 256,
    "",
)


async def test_every_value_that_a_tag_may_have_is_found_by_it_and_paged_over(warehouse: Warehouse, told: list[Event]) -> None:
    tagged = [event.model_copy(update={"tags": {TAG: AWKWARD[hash_of(event) % len(AWKWARD)]}}) for event in told]
    events = await load(warehouse, tagged)
    by_value = asked_of(events, lambda event: event["tags"][TAG])
    assert len(by_value) == len(AWKWARD)
    found: Counter[str] = Counter()
    after = None
    for _ in AWKWARD:
        page = await ask(warehouse, by=f"tag:{TAG}", limit=1, after=after)
        found.update({row[f"tag:{TAG}"]: row["requests"] for row in page["data"]})
        after = page["next_after"]
    assert (found, after) == (by_value, None)
    for value, requests in by_value.items():
        report = await ask(warehouse, tags=[f"{TAG}={value}"])
        assert report["totals"]["requests"] == requests, value


async def test_two_tags_at_once_part_each_request_once(warehouse: Warehouse, told: list[Event]) -> None:
    tagged = [
        event.model_copy(update={"tags": {"a": f"{hash_of(event) % 2}", "ab": f"={hash_of(event) % 3}"}}) for event in told
    ]
    events = await load(warehouse, tagged)
    report = await ask(warehouse, by="tag:a,tag:ab")
    both = asked_of(events, lambda event: f"{event['tags']['a']} {event['tags']['ab']}")
    assert {f"{row['tag:a']} {row['tag:ab']}": row["requests"] for row in report["data"]} == both
    every = await ask(warehouse, by="tag,tag:a")
    parted = Counter({(row["tag"], row["tag:a"]): row["requests"] for row in report_rows(every)})
    assert {key for key in parted if key[0].startswith("a=")} == {("a=0", "0"), ("a=1", "1")}
    assert sum(parted.values()) == 2 * every["totals"]["requests"]


async def test_no_filter_and_no_cursor_leads_out_of_the_account(warehouse: Warehouse, told: list[Event]) -> None:
    events = await load(warehouse, told)
    accounts = sorted({event["account_id"] for event in events})
    own, other = accounts[0], accounts[1]
    keys = {event["data"]["key"]["key_id"]: event["account_id"] for event in events if event["type"] == "RequestCompleted"}
    foreign = next(key for key, account in keys.items() if account == other)
    mine = frozenset({own})
    for filters in ({"key_id": foreign}, {"project_id": "' OR 1 = 1 --"}, {"model": "{accounts:Array(String)}"}):
        report = await ask(warehouse, by="key", filters=filters, accounts=mine)
        assert (report["data"], report["totals"]["requests"]) == ([], 0)
    for made_up in (("", "", ""), ("a", "b", "c"), (foreign, "", ""), ("' OR 1 = 1 --", "\\", "\t\n")):
        report = await ask(warehouse, by="account,key", accounts=mine, after=cursor(made_up))
        assert {row["account_id"] for row in report["data"]} <= {own}


async def test_hours_of_400_days_are_answered_and_a_made_up_cursor_among_them_is_harmless(
    warehouse: Warehouse, told: list[Event]
) -> None:
    events = await load(warehouse, told)
    span = {"since": "2025-10-20T20:00:00Z", "until": "2026-11-24T20:00:00Z"}
    for zone in ("UTC", "Australia/Lord_Howe"):
        report = await ask(warehouse, grain="hour", by="key,model", zone=zone, **span)
        assert sum(row["requests"] for row in report["data"]) == sum(asked_of(events, _day(zone)).values())
        for made_up in (("x", "", ""), ("9" * 40, "", ""), ("-1", "", "")):
            await ask(warehouse, grain="hour", by="key,model", zone=zone, after=cursor(made_up), **span)


async def test_costs_of_more_than_64_bits_are_summed_exactly(warehouse: Warehouse, told: list[Event]) -> None:
    most = 2**62
    captured = [event for event in told if isinstance(event, Captured)][:5]
    large = [event.model_copy(update={"data": event.data.model_copy(update={"captured_nano": most})}) for event in captured]
    events = await load(warehouse, large)
    report = await ask(warehouse)
    whole = spent(events, lambda _: "")
    assert max(whole.values()) > 2**63
    assert {("", cost["currency"]): cost["cost_nano"] for cost in report["totals"]["costs"]} == whole


async def test_a_report_beyond_the_limits_is_refused_and_the_next_one_is_answered(
    warehouse: Warehouse, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(warehouse, told)
    with monkeypatch.context() as patched:
        patched.setitem(QUERY_LIMITS, "max_result_rows", 1)
        with pytest.raises(QueryRefusedError, match="too large") as refused:
            await ask(warehouse, by="key,model", grain="hour")
        assert refused.value.param == "from"
    assert (await ask(warehouse))["totals"]["requests"] > 0


def hash_of(event: Event) -> int:
    """The same number for all events of a request, and others for others."""
    return crc32(str(event.request_id).encode())


def report_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows in which requests ended."""
    return [row for row in report["data"] if row["requests"]]
