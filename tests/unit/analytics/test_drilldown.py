"""What a list of requests may be asked, and how other services are asked in the caller's name."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from fastapi import FastAPI

from schemas.access import ROOT
from services.analytics.admin_calls import caller
from services.analytics.drilldown.api import router
from services.analytics.drilldown.desk import RequestDesk
from services.analytics.drilldown.ledger_lag import LedgerLag, waiting
from services.analytics.drilldown.peer import Peer, PeerAwayError
from services.analytics.drilldown.question import Filter, Place, Question, hours_of
from services.analytics.errors import QueryRefusedError
from services.analytics.usage_api.turns import MOST_WAITING, TooManyReportsError
from services.analytics.warehouse import Warehouse, WarehouseAwayError

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "words",
    [
        {"failed_on": "a", "outcomes": ("failed",)},
        {"failed_on": "a", "channel": "b"},
        {"failed_on": "a", "fell_to": "b"},
        {"fell_from": "a", "fallbacks": True},
        {"fell_to": "a", "burned": True},
    ],
)
def test_filters_of_calls_and_of_ends_do_not_go_together(words: dict[str, Any]) -> None:
    with pytest.raises(QueryRefusedError, match="does not go with"):
        Filter(**words)


def test_only_what_was_never_tried_can_be_rejected() -> None:
    assert Filter().may_be_rejected
    assert Filter(outcomes=("failed", "rejected"), error="no_such_model").may_be_rejected
    for only in (Filter(outcomes=("failed",)), Filter(channel="a"), Filter(fallbacks=True), Filter(burned=True)):
        assert not only.may_be_rejected


@pytest.mark.parametrize("text", ["", "12", f"x/{UUID(int=0)}", "1/2", f"{'9' * 18}/{UUID(int=0)}", "-1/"])
def test_a_place_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(QueryRefusedError, match="next_after"):
        Place.read(text)


def test_a_page_begins_behind_the_place_of_the_one_before() -> None:
    place = Place.read(str(Place(1_000_000, UUID(int=7))))
    asked = Question(since=NOON - timedelta(hours=1), until=NOON, only=Filter(), after=place, limit=10)
    assert asked.parameters["to_us"] == 1_000_001
    assert (asked.parameters["after_id"], asked.parameters["first"], asked.parameters["limit"]) == (str(UUID(int=7)), 0, 11)


@pytest.mark.parametrize(("length", "said"), [(timedelta(0), "before"), (timedelta(days=401), "400 days")])
def test_an_impossible_range_is_refused(length: timedelta, said: str) -> None:
    with pytest.raises(QueryRefusedError, match=said):
        Question(since=NOON - length, until=NOON, only=Filter())


def test_a_request_is_looked_for_in_the_hour_of_its_call_and_the_next() -> None:
    assert hours_of([NOON, NOON + timedelta(hours=5)]) == [f"2026-05-04 {hour}:00:00" for hour in (12, 13, 17, 18)]


async def test_another_service_hears_the_callers_token_and_nothing_else() -> None:
    heard: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(404, json={"error": {"code": "receipt_not_found"}})

    peer = Peer("edge", "http://edge", transport=httpx.MockTransport(answer))
    assert (await peer.get("/admin/x", "Bearer tbu-caller")).status_code == 404
    assert heard[0].headers["authorization"] == "Bearer tbu-caller"
    assert "cookie" not in heard[0].headers
    with pytest.raises(PeerAwayError, match="answered 404"):
        await peer.json("/admin/x", "Bearer tbu-caller")
    await peer.close()


@pytest.mark.parametrize(("account", "request_id"), [("a", "%2E%2E"), ("%2E%2E", "%2E"), ("a%3Fb", "c%23d")])
async def test_no_id_leads_to_another_call_of_edge_than_receipts(account: str, request_id: str) -> None:
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(404)

    peer = Peer("edge", "http://edge", transport=httpx.MockTransport(answer))
    path = f"/admin/accounts/{account}/receipts/{request_id}"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(peer)), base_url="http://analytics") as client:
        assert (await client.get(path, headers={b"authorization": b"Bearer x\xa0"})).status_code == 404
    assert paths == [path.encode()]
    await peer.close()


def _app(edge: Peer) -> FastAPI:
    app, warehouse = FastAPI(), Warehouse(_never, "read")
    app.include_router(router(warehouse, warehouse, edge, Peer("settlement", "")))
    app.dependency_overrides[caller] = lambda: ROOT
    return app


class HeldWarehouse(Warehouse):
    """Answers nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__(_never, "list")
        self.let_go = asyncio.Event()
        self.asked: asyncio.Queue[list[str]] = asyncio.Queue()

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        assert parameters is not None
        self.asked.put_nowait(parameters["accounts"])
        await self.let_go.wait()
        return []


async def test_an_account_that_lists_much_at_once_holds_up_nobody_else() -> None:
    warehouse = HeldWarehouse()
    desk = RequestDesk(warehouse)

    def page(account: str) -> asyncio.Task[dict[str, Any]]:
        only = Filter(accounts=frozenset({account}))
        return asyncio.create_task(desk.page(Question(since=NOON - timedelta(hours=1), until=NOON, only=only)))

    pages = [*(page("a") for _ in range(MOST_WAITING)), page("b")]
    async with asyncio.timeout(30):
        assert [await warehouse.asked.get(), await warehouse.asked.get()] == [["a"], ["b"]]
        with pytest.raises(TooManyReportsError, match="lists of requests"):
            await page("a")
        warehouse.let_go.set()
        assert {len((await each)["data"]) for each in pages} == {0}


@pytest.mark.parametrize(("code", "raised"), [(159, QueryRefusedError), (241, QueryRefusedError), (None, WarehouseAwayError)])
async def test_a_list_that_takes_too_much_is_refused_rather_than_asked_for_again(
    code: int | None, raised: type[Exception]
) -> None:
    def connect() -> Any:
        raise DatabaseError("it ended", code=code)

    asked = Question(since=NOON - timedelta(hours=1), until=NOON, only=Filter())
    with pytest.raises(raised):
        await RequestDesk(Warehouse(connect, "list")).page(asked)


def _away(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("url", "answer", "said"),
    [
        ("", _away, "set TOLLBOOK_SETTLEMENT_URL"),
        ("http://settlement", _away, "Settlement does not answer"),
        ("http://settlement", lambda _: httpx.Response(503), "cannot answer now"),
        ("http://settlement", lambda _: httpx.Response(403, json={}), "answered 403"),
        ("http://settlement", lambda _: httpx.Response(200, text="<html>"), "answered 200"),
        ("http://settlement", lambda _: httpx.Response(200, json={"partitions": [{}]}), "words unknown"),
    ],
)
async def test_a_settlement_that_is_away_is_an_answer(url: str, answer: Any, said: str) -> None:
    peer = Peer("settlement", url, transport=httpx.MockTransport(answer))
    told = await LedgerLag(peer, Warehouse(_never, "read")).now("Bearer x")
    assert told["away"]
    assert said in told["reason"]
    assert {value for name, value in told.items() if name not in {"away", "reason"}} == {None}
    await peer.close()


async def test_a_ledger_that_has_read_everything_is_not_behind() -> None:
    said = {"partitions": [{"partition": 0, "next": 5, "end": 5, "lag": 0}], "outbox_pending": 2, "open_holds": 1}
    peer = Peer("settlement", "http://s", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=said)))
    told = await LedgerLag(peer, Warehouse(_never, "read")).now("Bearer x")
    assert told == {
        "away": False,
        "reason": None,
        "records": 0,
        "oldest_s": None,
        "outbox_pending": 2,
        "open_holds": 1,
    }
    await peer.close()


def test_nobody_says_what_waits_while_kafka_is_away() -> None:
    assert waiting([{"lag": 3}, {"lag": 4}]) == 7
    assert waiting([{"lag": 3}, {"lag": None}]) is None


def _never() -> Any:
    raise AssertionError("nothing waits: nothing is to be read")
