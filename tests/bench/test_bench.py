"""The bench's own arithmetic and load generator: a wrong figure is worse than none."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import psycopg
import pytest

from tests.bench import ledger
from tests.bench.cells import CELLS, OUTPUT_TOKENS, PACED, Cell, bodies
from tests.bench.client import is_whole
from tests.bench.cpu import CpuMeter
from tests.bench.errors import BenchError
from tests.bench.figures import Measured, compared
from tests.bench.load import Load, Outcome
from tests.bench.quantiles import Quantiles, quantiles
from tests.bench.target import Target, generate, warm_up
from tests.bench.upstream import simulator


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    with simulator() as url:
        yield url


def loaded(provider_url: str, channel: str, cell: Cell, **bounds: Any) -> Outcome:
    url = urlsplit(provider_url)
    load = Load(
        host=url.hostname or "",
        port=url.port or 0,
        path=f"/{channel}/v1/chat/completions",
        api_key="k",
        bodies=bodies(cell),
        connections=cell.connections,
        **{"seconds": 30, "requests_max": 100} | bounds,
    )
    return generate(load)


def stats(provider_url: str, channel: str) -> dict[str, Any]:
    reply = httpx.get(f"{provider_url}/control/stats", params={"channel": channel}, trust_env=False)
    only: dict[str, Any] = reply.json()["channels"][0]
    return only


def script(provider_url: str, channel: str, *faults: dict[str, Any]) -> None:
    body = {"channel": channel, "faults": faults}
    httpx.post(f"{provider_url}/control/faults", json=body, trust_env=False).raise_for_status()


@pytest.mark.parametrize("cell", [*CELLS, PACED])
def test_every_request_is_counted_once_and_as_long_as_was_asked(provider_url: str, cell: Cell) -> None:
    channel = f"count-{cell.name}"
    outcome = loaded(provider_url, channel, cell)
    assert (outcome.requests, outcome.errors) == (100, 0)
    assert stats(provider_url, channel)["requests"] == 100
    sent = sum(OUTPUT_TOKENS[number % len(OUTPUT_TOKENS)] for number in range(100))
    assert stats(provider_url, channel)["tokens_sent"] == sent
    # Beside the tokens a stream has a role, a finish and a usage event.
    assert outcome.chunks == (sent + 3 * 100 if cell.stream else 0)
    assert all(first <= last for first, last in zip(outcome.ttfts_ms, outcome.latencies_ms, strict=True))


@pytest.mark.parametrize("stream", [False, True])
def test_every_kind_of_failure_is_an_error_and_the_load_goes_on(provider_url: str, stream: bool) -> None:
    channel = f"fail-{stream}"
    script(provider_url, channel, *({"kind": kind} for kind in ("500", "cut", "refuse", "429")))
    outcome = loaded(provider_url, channel, Cell(1, stream=stream))
    assert (outcome.requests, outcome.errors) == (96, 4)
    assert len(outcome.error_samples) == 4


def test_a_request_without_an_answer_ends_as_an_error(provider_url: str) -> None:
    script(provider_url, "hang", {"kind": "timeout"})
    outcome = loaded(provider_url, "hang", Cell(1, stream=False), timeout_s=0.2, requests_max=2)
    assert (outcome.requests, outcome.errors) == (1, 1)


def test_a_load_ends_with_its_time(provider_url: str) -> None:
    outcome = loaded(provider_url, "time", Cell(4, stream=False), seconds=0.3, requests_max=1_000_000)
    assert 0 < outcome.requests < 1_000_000
    assert outcome.errors == 0


def test_a_target_that_answers_nothing_stops_the_run() -> None:
    with pytest.raises(BenchError, match="answers no request"):
        warm_up(Target("nobody", "http://127.0.0.1:1/v1", "k"), CELLS[0])


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b'{"usage":{"total_tokens":5}}', True),
        (b'{"id":"x"}', False),
        (b'data: {"usage":{"total_tokens":5}}\n\ndata: [DONE]\n\n', True),
        (b'data: {"usage":{"total_tokens":5}}\n\n', False),
        (b"data: {}\n\ndata: [DONE]\n\n", False),
    ],
)
def test_a_reply_is_whole_with_its_usage_and_its_end(body: bytes, whole: bool) -> None:
    assert is_whole(body) is whole


def test_quantiles_are_values_that_occurred() -> None:
    assert quantiles([float(value) for value in range(100, 0, -1)]) == Quantiles(p50_ms=50, p99_ms=99, count=100)
    assert quantiles([7.0]) == Quantiles(p50_ms=7, p99_ms=7, count=1)
    assert quantiles([]) == Quantiles(p50_ms=None, p99_ms=None, count=0)


def measured(target: str, *, stream: bool, p50_ms: float, cpu_ms: float, chunks: int = 0) -> Measured:
    found = Quantiles(p50_ms=p50_ms, p99_ms=2 * p50_ms, count=10)
    return Measured(
        target=target,
        cell="stream-1" if stream else "plain-1",
        connections=1,
        stream=stream,
        requests=10,
        seconds=1,
        per_second=10,
        latency=found,
        ttft=found,
        chunks=chunks,
        errors=0,
        error_samples=[],
        generator_cpu_ms_per_request=0,
        cpu_ms_per_request={"edge": cpu_ms / 2, "router": cpu_ms / 2},
    )


def test_what_is_added_is_the_difference_to_the_direct_call_and_to_the_plain_request() -> None:
    cells = [
        measured("direct", stream=False, p50_ms=1, cpu_ms=0),
        measured("direct", stream=True, p50_ms=2, cpu_ms=0),
        measured("gateway", stream=False, p50_ms=4, cpu_ms=3),
        measured("gateway", stream=True, p50_ms=7, cpu_ms=18, chunks=1_500),
    ]
    direct, _, plain, stream = compared(cells, "direct")
    assert direct.latency_added is None
    assert (plain.latency_added, plain.ttft_added) == (Quantiles(p50_ms=3, p99_ms=6, count=10), None)
    assert stream.ttft_added == Quantiles(p50_ms=5, p99_ms=10, count=10)
    assert stream.cpu_ms_per_chunk == pytest.approx(0.1)


def test_cpu_is_counted_with_ended_children() -> None:
    child = "subprocess.run([sys.executable, '-c', 'sum(range(20_000_000))'])"
    burn = f"import subprocess, sys; input(); {child}; print('x', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        meter = CpuMeter({"burner": process.pid})
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert meter.spent_ms()["burner"] > 50
        process.stdin.write(b"\n")
    with pytest.raises(BenchError, match="burner"):
        meter.spent_ms()


def test_the_lag_to_the_ledger_is_read_from_settlements_own_tables(database_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url}
    subprocess.run([sys.executable, "-m", "services.settlement.migrate"], env=environment, check=True, timeout=120)
    now = datetime.now(UTC)
    with psycopg.connect(database_url, options="-c search_path=settlement") as connection:
        for number, holder in enumerate(["mine", "mine", "mine", "other"], start=1):
            txn, request = uuid.uuid4(), uuid.uuid4()
            connection.execute(
                "insert into settlement.txn (id, kind, idem_key, detail, committed_at) values (%s, 'capture', %s, '{}', %s)",
                (txn, f"settle:{request}", now),
            )
            completed = orjson.dumps({"occurred_at": now - timedelta(milliseconds=10 * number)}).decode()
            connection.execute(
                "insert into settlement.receipt (request_id, holder, status, txn, completed)"
                " values (%s, %s, 'settled', %s, %s)",
                (request, holder, txn, completed),
            )
    found = ledger.event_to_ledger(database_url, ["mine"], now.timestamp() - 60)
    assert [found.p50_ms, found.p99_ms] == pytest.approx([20, 30])
    assert found.count == 3
    assert ledger.settings(database_url)["fsync"] in {"on", "off"}
