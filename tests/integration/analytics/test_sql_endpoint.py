"""The read-only SQL endpoint over the real embedded engine: what clients read, and what nobody may do."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Thread

import clickhouse_connect
import httpx
import pytest
import uvicorn
from clickhouse_connect.driver.client import Client
from fastapi import FastAPI

from deploy.local.ports import free_port
from services.analytics.sql_endpoint.engine import Bounds, Engine
from services.analytics.sql_endpoint.http import SqlEndpoint, install
from services.analytics.warehouse import Warehouse, connector

TOKEN = "the-token-of-the-readers"
BOUNDS = Bounds(seconds=2, rows=50_000, memory_bytes=300_000_000)
WORKERS_S = 30


@pytest.fixture
async def app(clickhouse: Client, engine_dir: Path, clickhouse_database: str) -> AsyncIterator[FastAPI]:
    """The endpoint over a database with analytics' schema."""
    warehouse = Warehouse(connector("", engine_dir, clickhouse_database, max_threads=2), "sql")
    made = FastAPI()
    install(made, SqlEndpoint(Engine(warehouse, clickhouse_database, BOUNDS), TOKEN, clickhouse_database))
    yield made
    await warehouse.close()


@pytest.fixture
async def caller(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with the token."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://analytics", auth=("anybody", TOKEN)) as client:
        yield client


@pytest.fixture
def port(app: FastAPI) -> Iterator[int]:
    """The endpoint on a port of its own."""
    number = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", number, log_level="warning", lifespan="off"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield number
    server.should_exit = True
    thread.join(WORKERS_S)


REFUSED = {
    "select 1 into outfile '{dir}/out.csv'": "ACCESS_DENIED",
    "select 1 union all select 2 into outfile '{dir}/out.csv' format CSV": "ACCESS_DENIED",
    "select file('{dir}/secret.csv')": "ACCESS_DENIED",
    "select FILE('{dir}/secret.csv')": "ACCESS_DENIED",
    "select * from file('{dir}/secret.csv')": "ACCESS_DENIED",
    "select * from (select 1 as a union all select * from file('{dir}/secret.csv'))": "ACCESS_DENIED",
    "select (select max(c1) from file('{dir}/secret.csv'))": "ACCESS_DENIED",
    "describe table file('{dir}/secret.csv')": "ACCESS_DENIED",
    "explain select * from file('{dir}/secret.csv')": "ACCESS_DENIED",
    "select * from url('http://127.0.0.1:1/', 'CSV', 'a String')": "ACCESS_DENIED",
    "select * from remote('127.0.0.1', 'system.one')": "ACCESS_DENIED",
    "select * from executable('id', 'CSV', 'a String')": "ACCESS_DENIED",
    "select * from postgresql('127.0.0.1:5432', 'a', 'b', 'c', 'd')": "ACCESS_DENIED",
    "select * from python('TOKEN')": "ACCESS_DENIED",
    "select * from merge('system', '.*')": "ACCESS_DENIED",
    "select * from system.processes": "ACCESS_DENIED",
    "select * from system.user_directories": "ACCESS_DENIED",
    "select sleep(1)": "ACCESS_DENIED",
    "select 1 as `a\u2028Foo` into outfile '{dir}/out.csv'": "ACCESS_DENIED",
    "select 1 as `a\x0bFoo` into outfile '{dir}/out.csv'": "ACCESS_DENIED",
    "select * apply(file) from (select '{dir}/secret.csv' as p)": "ACCESS_DENIED",
    "select * apply(x -> file(x)) from (select '{dir}/secret.csv' as p)": "ACCESS_DENIED",
    "select columns('p') apply(file) from (select '{dir}/secret.csv' as p)": "ACCESS_DENIED",
    "select * replace(file('{dir}/secret.csv') as p) from (select 1 as p)": "ACCESS_DENIED",
    "select arrayMap(x -> file(x), ['{dir}/secret.csv'])": "ACCESS_DENIED",
    "select 'a' in file('{dir}/secret.csv', 'CSV', 'a String')": "ACCESS_DENIED",
    "select 'a' in url('http://127.0.0.1:1/', 'CSV', 'a String')": "ACCESS_DENIED",
    "select 1 in system.processes": "ACCESS_DENIED",
    "explain table override file('{dir}/secret.csv') partition by a": "ACCESS_DENIED",
    "select hasColumnInTable('system', 'processes', 'query')": "ACCESS_DENIED",
    "select aiGenerate('x')": "ACCESS_DENIED",
    "select DICTGET('a', 'b', 1)": "ACCESS_DENIED",
    "select 1 as `a\n TableExpression`": "ACCESS_DENIED",
    "kill query where 1": "READONLY",
    "use system": "READONLY",
    "set readonly = 0": "READONLY",
    "select 1 settings readonly = 0": "READONLY",
    "select 1 settings max_execution_time = 0": "READONLY",
    "insert into alerts (alert_id) values ('x')": "READONLY",
    "insert into alerts (alert_id) select 'x'": "READONLY",
    "drop table attempts": "READONLY",
    "truncate table attempts": "READONLY",
    "alter table attempts delete where 1": "READONLY",
    "create table x (a Int8) engine = Memory": "READONLY",
    "create temporary table x (a Int8)": "READONLY",
    "create view v as select 1": "READONLY",
    "create function f as x -> x": "READONLY",
    "optimize table attempts final": "READONLY",
    "attach table x": "READONLY",
    "grant select on *.* to somebody": "READONLY",
    "backup table attempts to File('{dir}/backup')": "READONLY",
    "select * from nothere": "UNKNOWN_TABLE",
    "select * from elsewhere.attempts": "UNKNOWN_DATABASE",
    "select 1; drop table attempts": "SYNTAX_ERROR",
    "selec 1": "SYNTAX_ERROR",
}

ANSWERED = (
    "select sum(attempts) over (partition by channel order by at) from attempts_hour window w as (order by at)",
    "select at, sum(attempts) from attempts_hour group by at order by at with fill step 3600",
    "select t from attempts_hour array join tags as t",
    "select channel, outcome, sum(attempts) from attempts_hour group by grouping sets ((channel), (outcome))",
    "select a.channel from attempts_hour as a left join usage_hour as u on a.channel = u.channel where a.failed > 0",
    "select 1 intersect select 1",
    "select case when 1 then 'x' else 'into outfile' end, arrayMap(x -> x + 1, [1]), 'it''s' in ('a', 'b')",
    "select * except (at) from attempts_hour limit 1 by channel limit 3",
    "with (select max(at) from attempts_hour) as latest, x as (select 1 as a) select latest, a from x where a in x",
    "select key_id in (select key_id from usage_hour) from attempts_hour",
    "explain select count() from attempts_hour prewhere channel = 'a'",
    "explain ast select 1",
    "select quantilesExactWeightedArray(0.5)(mapKeys(latency_hist), mapValues(latency_hist)) from usage_hour",
    "describe table (select 1 as a)",
)


async def test_whatever_reads_the_tables_alone_is_answered(caller: httpx.AsyncClient) -> None:
    for query in ANSWERED:
        reply = await caller.post("/", content=query)
        assert reply.status_code == 200, (query, reply.text)


UNBOUNDED = {
    "select number from numbers(60000)": "TOO_MANY_ROWS_OR_BYTES",
    "select count() from numbers(1000000000000)": "TIMEOUT_EXCEEDED",
    "select length(groupArray(number)) from numbers(300000000)": "MEMORY_LIMIT_EXCEEDED",
}


async def test_what_does_more_than_read_the_tables_is_refused(caller: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("stays,here\n")
    for query, code in REFUSED.items():
        reply = await caller.post("/", content=query.replace("{dir}", str(tmp_path)))
        assert reply.status_code in {400, 403, 404}, query
        assert f"({code})" in reply.text, query
        assert reply.headers["x-clickhouse-exception-code"].isdecimal(), query
        assert "stays" not in reply.text, query
        assert os.listdir(tmp_path) == ["secret.csv"], query
    assert (await caller.post("/", content="select count() from attempts")).text == "0\n"


async def test_a_query_is_bounded_and_leaves_nothing_to_the_next(caller: httpx.AsyncClient) -> None:
    for query, code in UNBOUNDED.items():
        reply = await caller.post("/", content=query)
        assert code in reply.text
        # The embedded engine would begin the next reply of the same handle with what was left of this one.
        assert (await caller.post("/", content="select 7")).text == "7\n"


async def test_what_only_reads_is_answered_in_the_format_asked_for(caller: httpx.AsyncClient) -> None:
    assert (await caller.get("/", params={"query": "select 1 as a format JSONEachRow"})).text == '{"a":1}\n'
    assert (await caller.post("/", params={"default_format": "CSV"}, content="select 'a', 1")).text == '"a",1\n'
    assert (await caller.post("/", params={"query": "with x as (select 2 as a)"}, content="select a from x")).text == "2\n"
    tables = (await caller.post("/", content="show tables")).text.split()
    assert {"attempts", "completions", "usage_minute"} <= set(tables)
    assert (await caller.post("/", content="describe table alerts")).text.startswith("event_id\tUUID")


async def test_parameters_are_bound_as_values(caller: httpx.AsyncClient) -> None:
    asked = {"param_a": "it's\\n{b:String}", "param_n": "[1,2]"}
    reply = await caller.post("/", params=asked, content="select {a:String}, {n:Array(UInt8)} format JSONCompactEachRow")
    assert reply.json() == ["it's\n{b:String}", [1, 2]]
    # A driver that finds no parameter in ClickHouse's form writes it into the text by Python's: behind the check.
    for text, value in (("select '%(p)s'", "x', version(), '"), ("select '50%'", "x"), ("select '%s'", "x")):
        unbound = await caller.post("/", params={"param_p": value}, content=text)
        assert unbound.text == f"{text[8:-1]}\n"
    named = await caller.post("/", params={"param_t": "system.processes"}, content="select * from {t:Identifier}")
    assert "ACCESS_DENIED" in named.text


async def test_nobody_reads_without_the_token(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://analytics") as stranger:
        for headers in ({}, {"x-clickhouse-key": "wrong"}, {"authorization": "Basic !"}, {"authorization": "Bearer x"}):
            reply = await stranger.post("/", content="select 1", params={"user": "default"}, headers=headers)
            assert (reply.status_code, "AUTHENTICATION_FAILED" in reply.text) == (401, True)
        assert (await stranger.get("/ping")).text == "Ok.\n"


async def test_settings_cannot_be_brought_along(caller: httpx.AsyncClient) -> None:
    reply = await caller.post("/", params={"max_memory_usage": "0"}, content="select 1")
    assert (reply.status_code, "READONLY" in reply.text) == (403, True)
    kept = await caller.post("/", params={"max_execution_time": "600"}, content="select getSetting('max_execution_time')")
    assert kept.text == f"{BOUNDS.seconds}\n"


async def test_clickhouse_connect_reads_every_type_that_the_tables_have(
    port: int, clickhouse: Client, clickhouse_database: str
) -> None:
    clickhouse.command(
        "insert into completions (event_id, occurred_at, account_id, tags, plan, charged_attempt, cost_nano, stream) values"
        " (generateUUIDv4(), '2026-01-02 03:04:05.678901', 'account-1', {'feature': 'search'}, ['a', 'b'], 1, 12, true),"
        " (generateUUIDv4(), '2026-01-02 03:04:06', 'account-2', {}, [], null, null, false)"
    )
    reader = clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="grafana", password=TOKEN, database=clickhouse_database
    )
    query = "select * from completions final order by occurred_at"
    assert reader.query(query).result_rows == clickhouse.query(query).result_rows
    many = (
        "select number, toString(number), toLowCardinality(toString(number % 3)), [number], (number, 'x') from numbers(40000)"
    )
    assert reader.query(many).result_rows == clickhouse.query(many).result_rows
    assert reader.query("select {a:String}", parameters={"a": "it's \\ \n"}).result_rows == [("it's \\ \n",)]
    reader.close()
