"""The case that matters: a research job of 200 calls, retries and fallbacks included, is explained to the unit."""

import asyncio
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from deploy.local.traffic import Size, generated_sizes
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.e2e.run_fold import Fold, fold
from tests.oracle import Oracle, Tokens

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CALLS = 200
CONCURRENCY = 8
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5-mini", "deepseek-chat")
TOP_UPS = {"credit": Decimal(50), "wallet": Decimal(200)}
BUDGET = {"credit": "20.00", "wallet": "80.00"}
JOB = {"budget": BUDGET, "deadline": "45m", "label": "research job", "cross_bucket": True, "max_attempts": 6}


def _plan(index: int, size: Size) -> tuple[dict[str, Any], Tokens]:
    cached = size.prompt // 3 if index % 5 == 0 else 0
    body = chat_body(MODELS[index % len(MODELS)], size, stream=index % 2 == 0, cached=cached, capped=index % 7 != 0)
    return body, Tokens(prompt=size.prompt, output=size.output, cached=cached)


async def _script_faults(driver: Driver) -> None:
    """The first call breaks off in the middle of its stream; the others meet everything."""
    kinds = ("500", "503", "refuse", "malformed", "burned", "cut")
    faults: list[dict[str, Any]] = [{"kind": "cut", "times": 1, "after_chunks": 3}]
    faults += [{"kind": kind, "probability": 0.04, "seed": seed} for seed, kind in enumerate(kinds, 1)]
    await driver.faults("openai-main", [*faults, {"kind": "429", "probability": 0.04, "seed": 9, "retry_after_s": 0.05}])
    await driver.faults("openai-backup", [{"kind": "503", "probability": 0.3, "seed": 21}])
    await driver.faults("pool-a", [{"kind": "burned", "probability": 0.1, "seed": 12}])


async def _work(driver: Driver, key: str, run_id: str) -> list[tuple[Tokens, Reply]]:
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(index: int, size: Size) -> tuple[Tokens, Reply]:
        body, tokens = _plan(index, size)
        async with gate:
            return tokens, await driver.chat(key, body, **{"x-tollbook-run": run_id})

    sizes = generated_sizes(CALLS, seed=11)
    first = await one(0, sizes[0])
    return [first, *await asyncio.gather(*(one(index, size) for index, size in enumerate(sizes) if index))]


async def _receipts(driver: Driver, key: str, run_id: str, sent: list[tuple[Tokens, Reply]]) -> list[dict[str, Any]]:
    """The receipt of every call that the ledger heard of; each names its run, and charges what the provider counted."""
    oracle, found = Oracle(), []
    for tokens, reply in sent:
        assert reply.headers["x-tollbook-run"] == run_id
        receipt = await driver.receipt(key, reply.request_id)
        assert receipt["run_id"] == run_id
        if not receipt["holds"]:
            # Every channel rested: refused before the ledger was asked.
            assert reply.body["error"]["code"] == "upstream_unavailable", reply
            continue
        found.append(receipt)
        if reply.ok:
            last = receipt["attempts"][-1]
            expected = oracle.charge(last["route_type"], last["upstream_model"], tokens)
            assert amount(receipt["charge"]["amount_nano"]) == expected.amount == Decimal(reply.usage["cost"]), receipt
    return found


def _assert_totals(run: dict[str, Any], expected: Fold) -> None:
    """Every figure of the account is that of the receipts, and its three views of the charges have one sum."""
    totals = run["totals"]
    assert totals["requests"] == expected.requests
    for name in ("answered", "refused", "failed", "attempts", "retries", "fallbacks", "crossed_buckets"):
        assert totals[name] == expected.moves[name], name
    assert totals["pending"] == totals["expired"] == 0
    assert {name: count for name, count in totals["tokens"].items() if count} == {n: c for n, c in expected.tokens.items() if c}
    views = {
        "by_model": (("model", "route_type", "bucket", "currency"), (0, 1, 2, 3)),
        "by_route": (("route_type", "bucket", "currency"), (1, 2, 3)),
        "by_bucket": (("bucket", "currency"), (2, 3)),
    }
    for view, (names, positions) in views.items():
        said = {tuple(row[name] for name in names): amount(row["charge_nano"]) for row in totals[view] if row["charge_nano"]}
        assert said == expected.charged(*positions), view
        assert sum(row["attempts"] for row in totals[view]) == expected.moves["attempts"]
    by_place = {(row["model"], row["route_type"]): row["attempts"] for row in totals["by_model"]}
    assert by_place == dict(expected.attempts)


def _assert_failures(run: dict[str, Any], expected: Fold) -> None:
    """What failures burned is told apart from what was paid for."""
    failures = run["failures"]
    assert {row["reason"]: row["attempts"] for row in failures["by_reason"]} == dict(expected.reasons)
    assert failures["attempts"] == sum(expected.reasons.values())
    assert {name: count for name, count in failures["tokens"].items() if count} == {
        n: c for n, c in expected.burned.items() if c
    }
    for name, sums in (("would_have_cost", expected.would_have_cost), ("charged", expected.charged_failures)):
        said = {row["currency"]: amount(row["amount_nano"]) for row in failures[name] if row["amount_nano"]}
        assert said == {currency: each for currency, each in sums.items() if each}, name


def _assert_timeline(run: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
    """Every request has its line, with its charge."""
    entries = run["timeline"]["data"]
    assert [entry["kind"] for entry in entries if entry["kind"] not in {"request", "refused"}] == ["opened"]
    charges = {entry["request_id"]: entry.get("charge_nano", 0) for entry in entries if "request_id" in entry}
    assert charges == {receipt["request_id"]: (receipt["charge"] or {"amount_nano": 0})["amount_nano"] for receipt in receipts}
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


def _reserve_moves(dsn: str, account_id: str, run_id: str) -> dict[str, Decimal]:
    """What left each reserve of the run by captures, as the ledger's postings say."""
    query = """
        select k.bucket, sum(p.amount) from settlement.bucket_balance k
        join settlement.posting p on p.account = k.account and p.side = 'debit'
        join settlement.txn t on t.id = p.txn and t.kind = 'capture'
        where k.holder = %s and k.run = %s group by k.bucket
    """
    with psycopg.connect(dsn) as connection:
        return {row[0]: amount(int(row[1])) for row in connection.execute(query, [account_id, run_id])}


async def _customer(driver: Driver) -> Customer:
    customer = await driver.customer(agent={})
    for bucket, sum_in in TOP_UPS.items():
        await driver.top_up(customer.account_id, bucket, str(sum_in))
    return customer


async def test_a_research_job_of_200_calls_is_explained_to_the_unit(driver: Driver, described: dict[str, Any]) -> None:
    customer = await _customer(driver)
    key = customer.keys["agent"]
    run_id = (await driver.ask(key, "POST", "/v1/runs", JOB))["id"]
    earmarked = await driver.balances(key)
    assert {each: amount(earmarked[each]["posted_nano"]) for each in TOP_UPS} == {
        each: TOP_UPS[each] - Decimal(BUDGET[each]) for each in TOP_UPS
    }
    await _script_faults(driver)
    sent = await _work(driver, key, run_id)
    await driver.clear_faults()
    await books.settled(driver)
    await books.loaded(driver)

    receipts = await _receipts(driver, key, run_id, sent)
    run = await driver.ask(key, "GET", f"/v1/runs/{run_id}")
    expected = fold(receipts, Oracle())
    assert expected.moves["answered"] >= CALLS * 3 // 4
    assert all(expected.moves[name] for name in ("retries", "fallbacks", "crossed_buckets")), expected.moves
    assert expected.would_have_cost
    assert expected.charged_failures, "nothing was charged for the stream that broke off"
    _assert_totals(run, expected)
    _assert_failures(run, expected)
    _assert_timeline(run, receipts)
    spent = {bucket: each for (bucket,), each in expected.charged(2).items()}
    assert set(spent) == set(TOP_UPS), "the faults made no request cross buckets"
    for row in run["budgets"]:
        assert (amount(row["spent_nano"]), row["held_nano"]) == (spent[row["bucket"]], 0)
        assert amount(row["left_nano"]) == Decimal(BUDGET[row["bucket"]]) - spent[row["bucket"]]
    assert _reserve_moves(described["postgres_dsn"], customer.account_id, run_id) == spent
    await _assert_returned(driver, key, run, spent)
    await books.settled(driver)
    books.ledger_check(described)


async def _assert_returned(driver: Driver, key: str, run: dict[str, Any], spent: dict[str, Decimal]) -> None:
    """Closing gives back what is left, to the unit, and its account is final and can be read by people."""
    closed = await driver.ask(key, "POST", f"/v1/runs/{run['id']}/close", {})
    assert (closed["state"], closed["close_reason"]) == ("closed", "closed_by_client")
    assert {row["bucket"]: row["returned_nano"] for row in closed["budgets"]} == {
        row["bucket"]: row["left_nano"] for row in run["budgets"]
    }
    balances = await driver.balances(key)
    assert {each: amount(balances[each]["posted_nano"]) for each in TOP_UPS} == {
        each: TOP_UPS[each] - spent[each] for each in TOP_UPS
    }
    late = await driver.chat(key, chat_body("gpt-4o", Size(5, 5)), **{"x-tollbook-run": run["id"]})
    assert (late.status, late.body["error"]["code"], late.headers["x-should-retry"]) == (409, "run_closed", "false")
    text = await driver.text(key, f"/v1/runs/{run['id']}?format=text")
    for said in ("research job", "CLOSED", "BY MODEL", "BY ROUTE", "BY BUCKET", "FAILURES", "TIMELINE", "WHY"):
        assert said in text
