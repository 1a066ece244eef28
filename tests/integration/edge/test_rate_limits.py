"""Requests and tokens per minute on a running edge, in its own memory and in a Redis that two edges share."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anthropic
import httpx
import openai
import pytest
from redis.asyncio import Redis

from schemas import topics
from schemas.requests import RequestRejected
from services.edge.errors import RateLimitedError
from services.edge.pace import MINUTE_S, MinuteLimit, Window
from services.edge.pace_redis import RedisWindows
from services.edge.pace_windows import MemoryWindows
from services.edge.pacer import Counted, Counters, Paced, Pacer
from tests.integration.edge.peers import CHUNKS, DONE, TOKENS, Peers
from tests.integration.edge.processes import ADMIN, CHAT, EdgeProcess, Key, running_edge, until
from tests.integration.edge.redis_server import RedisServer, running_redis
from tests.integration.edge.topic_reader import read_events

NAMES = {f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """The shared store."""
    with running_redis() as running:
        yield running


@pytest.fixture(scope="module")
def shared_edges(
    tmp_path_factory: pytest.TempPathFactory,
    migrated_url: str,
    kafka_bootstrap_servers: str,
    peers: Peers,
    redis_server: RedisServer,
) -> Iterator[list[EdgeProcess]]:
    """Two edges that count together."""
    logs = tmp_path_factory.mktemp("edges")
    settings = {"TOLLBOOK_RATE_LIMIT_STORE": redis_server.url}
    with (
        running_edge(logs / "one.log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as one,
        running_edge(logs / "two.log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as two,
    ):
        yield [one, two]


def remaining(reply: httpx.Response, unit: str) -> int:
    """What the reply says is left."""
    return int(reply.headers[f"x-ratelimit-remaining-{unit}"])


def refused(reply: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return reply.status_code, reply.json()["error"]["code"]


def early_in_a_minute() -> None:
    """Go on where a whole test fits into one minute of the clock, so that nothing wears off in between."""
    until(lambda: time.time() % MINUTE_S < MINUTE_S - 25, timeout_s=90)


def test_a_key_without_limits_is_told_of_none(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    reply = edge.chat(key)
    assert not [name for name in reply.headers if "ratelimit" in name]
    assert not peers.calls[-1].context.tell_tokens


def test_every_reply_of_a_limited_key_says_what_is_left(edge: EdgeProcess) -> None:
    key = edge.new_key(requests_per_minute=100, tokens_per_minute=100_000)
    for body in (None, CHAT | {"stream": True}, b"{", CHAT | {"model": "unknown"}, CHAT | {"model": "broke"}):
        reply = edge.chat(key, body)
        assert set(reply.headers) >= NAMES, body
        assert reply.headers["x-ratelimit-limit-requests"] == "100"
    for path, content in (("/v1/responses", {"input": "hi"}), ("/v1/embeddings", {"input": "hi"})):
        reply = edge.client.post(path, json={"model": "gpt-4o", **content}, headers=key.headers)
        assert set(reply.headers) >= NAMES
    assert remaining(reply, "requests") in range(93, 100)
    assert not [name for name in edge.client.get("/v1/models", headers=key.headers).headers if "ratelimit" in name]


def test_anthropics_clients_find_anthropics_headers_and_shape(edge: EdgeProcess) -> None:
    key = edge.new_key(requests_per_minute=1)
    body = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    replies = [edge.client.post("/v1/messages", json=body, headers={"x-api-key": key.api_key}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 429]
    for reply in replies:
        assert reply.headers["anthropic-ratelimit-requests-limit"] == "1"
        assert reply.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert reply.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert replies[1].json()["error"]["type"] == "rate_limit_error"
    with (
        anthropic.Anthropic(base_url=edge.url, api_key=key.api_key, max_retries=0) as client,
        pytest.raises(anthropic.RateLimitError),
    ):
        client.messages.create(model="gpt-4o", max_tokens=5, messages=[{"role": "user", "content": "hi"}])


def test_requests_beyond_the_limit_are_429_with_the_wait_and_the_envelope(
    edge: EdgeProcess, kafka_bootstrap_servers: str, peers: Peers
) -> None:
    early_in_a_minute()
    key = edge.new_key(requests_per_minute=3)
    before = len(peers.calls)
    replies = [edge.chat(key) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    assert len(peers.calls) == before + 3
    last = replies[-1]
    assert refused(last) == (429, "rate_limit_exceeded")
    assert last.json()["error"]["envelope"] == {"kind": "key", "id": key.key_id, "window": "minute"}
    wait_s = int(last.headers["retry-after"])
    assert 1 <= wait_s <= 120
    assert last.headers["x-should-retry"] == ("true" if wait_s <= 60 else "false")
    assert remaining(last, "requests") == 0
    with (
        openai.OpenAI(base_url=f"{edge.url}/v1", api_key=key.api_key, max_retries=0) as client,
        pytest.raises(openai.RateLimitError),
    ):
        client.chat.completions.create(**CHAT)

    def recorded() -> bool:
        events = read_events(kafka_bootstrap_servers, topics.REQUESTS, key.account_id)
        return any(isinstance(event, RequestRejected) and event.data.code == "rate_limit_exceeded" for event in events)

    until(recorded)


def test_a_flood_of_requests_at_once_passes_no_more_than_the_limit(edge: EdgeProcess) -> None:
    early_in_a_minute()
    key = edge.new_key(requests_per_minute=10)
    with ThreadPoolExecutor(20) as threads:
        statuses = [reply.status_code for reply in threads.map(lambda _: edge.chat(key), range(60))]
    assert (statuses.count(200), statuses.count(429)) == (10, 50)


def test_a_flood_at_once_is_let_in_on_no_tokens_that_others_may_still_use(edge: EdgeProcess, peers: Peers) -> None:
    early_in_a_minute()
    key = edge.new_key(tokens_per_minute=1000)
    peers.release.clear()
    body = CHAT | {"model": "held", "max_tokens": 200}
    before = len(peers.calls)
    with ThreadPoolExecutor(20) as threads:
        replies = [threads.submit(edge.chat, key, body) for _ in range(20)]
        until(lambda: sum(each.done() for each in replies) == 16)
        assert len(peers.calls) == before + 4
        peers.release.set()
        statuses = [each.result().status_code for each in replies]
    assert (statuses.count(200), statuses.count(429)) == (4, 16)
    # Each was counted at more than 200, and took 30.
    until(lambda: remaining(edge.chat(key, CHAT | {"max_tokens": 1}), "tokens") > 600)


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_really_used_is_what_counts_in_the_end(edge: EdgeProcess, *, stream: bool) -> None:
    early_in_a_minute()
    key = edge.new_key(tokens_per_minute=10_000)
    sent = CHAT | {"max_tokens": 5000, "stream": stream}
    with edge.client.stream("POST", "/v1/chat/completions", json=sent, headers=key.headers) as reply:
        left = int(reply.headers["x-ratelimit-remaining-tokens"])
        content = reply.read()
    assert left < 5000
    if stream:
        assert content == b"".join([*CHUNKS, DONE])
    probe = CHAT | {"max_tokens": 1}
    fresh = remaining(edge.chat(edge.new_key(tokens_per_minute=10_000), probe), "tokens")
    assert remaining(edge.chat(key, probe), "tokens") == fresh - TOKENS


@pytest.mark.parametrize("model", ["unknown", "broke", "fails"])
def test_a_call_that_used_nothing_gives_all_its_tokens_back(edge: EdgeProcess, model: str) -> None:
    early_in_a_minute()
    key = edge.new_key(tokens_per_minute=10_000)
    for _ in range(5):
        assert edge.chat(key, CHAT | {"model": model, "max_tokens": 9000}).status_code >= 400
    assert edge.chat(key, CHAT | {"max_tokens": 9000}).status_code == 200


def test_a_cap_above_the_limit_is_the_requests_mistake(edge: EdgeProcess) -> None:
    key = edge.new_key(tokens_per_minute=1000)
    reply = edge.chat(key, CHAT | {"max_tokens": 1001})
    assert refused(reply) == (400, "request_exceeds_rate_limit")
    assert reply.json()["error"]["param"] == "max_tokens"


def test_project_and_account_have_limits_of_their_own_over_all_their_keys(edge: EdgeProcess, key: Key) -> None:
    early_in_a_minute()
    edge.client.patch(f"/admin/projects/{key.project_id}", json={"requests_per_minute": 3}, headers=ADMIN).raise_for_status()
    made = edge.admin("/keys", {"project_id": key.project_id, "name": "two"}).json()
    other = Key(made["api_key"], made["key_id"], key.project_id, key.account_id)
    statuses = [edge.chat(each).status_code for each in (key, other, key, other, key)]
    assert statuses == [200, 200, 200, 429, 429]
    assert edge.chat(key).json()["error"]["envelope"] == {"kind": "project", "id": key.project_id, "window": "minute"}
    edge.client.patch(f"/admin/projects/{key.project_id}", json={"requests_per_minute": None}, headers=ADMIN).raise_for_status()
    assert edge.chat(key).status_code == 200


def test_a_replayed_reply_uses_no_tokens_and_tells_what_is_left_now(edge: EdgeProcess) -> None:
    early_in_a_minute()
    key = edge.new_key(requests_per_minute=100, tokens_per_minute=10_000)
    replies = [edge.chat(key, None, **{"idempotency-key": "pace-replay"}) for _ in range(3)]
    assert [reply.headers.get("x-tollbook-replayed") for reply in replies] == [None, "true", "true"]
    assert [remaining(reply, "requests") for reply in replies] == [99, 98, 97]
    assert all(len(reply.headers.get_list("x-ratelimit-remaining-requests")) == 1 for reply in replies)
    assert remaining(replies[1], "tokens") == remaining(replies[2], "tokens")


def test_two_edges_that_share_a_store_count_together(shared_edges: list[EdgeProcess]) -> None:
    early_in_a_minute()
    key = shared_edges[0].new_key(requests_per_minute=10, tokens_per_minute=100_000)

    def asked(number: int) -> httpx.Response:
        return shared_edges[number % 2].chat(key, CHAT | {"max_tokens": 100})

    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(asked, range(40)))
    assert [reply.status_code for reply in replies].count(200) == 10
    assert {reply.status_code for reply in replies} == {200, 429}


def test_tokens_are_put_right_in_the_shared_store(shared_edges: list[EdgeProcess]) -> None:
    early_in_a_minute()
    one, two = shared_edges
    key = one.new_key(tokens_per_minute=10_000)
    left = remaining(one.chat(key, CHAT | {"max_tokens": 5000}), "tokens")
    until(lambda: remaining(two.chat(key, CHAT | {"max_tokens": 1}), "tokens") > left + 4000)


async def test_in_redis_a_correction_belongs_to_the_window_in_which_it_was_counted(redis_server: RedisServer) -> None:
    windows = RedisWindows(redis_server.url)
    counters = Counters(windows)
    limit = MinuteLimit("key", "corrected", None, 1000)

    async def counts() -> tuple[int, int]:
        window = Window(*await windows.get_sliding_window("key/corrected/tokens", MINUTE_S))
        return window.previous, window.current

    async def correct(amount: int, age_s: float) -> tuple[int, int]:
        await counters.correct(Counted(counters, limit, "tokens", 0, time.time() - age_s), amount)
        return await counts()

    assert (await counters.hit(limit, "tokens", 900))[0]
    assert await correct(-400, 0) == (0, 500)
    assert await correct(700, 0) == (0, 1200)
    assert not (await counters.hit(limit, "tokens", 1))[0]
    assert await correct(-9999, 0) == (0, 0)
    assert (await counters.hit(limit, "tokens", 900))[0]
    # The window began 70 s ago: it has become the one before.
    await redis_set_age(redis_server, "{key/corrected/tokens}", 70)
    assert await counts() == (900, 0)
    assert (await counters.hit(limit, "tokens", 10))[0]
    assert await correct(-300, 30) == (600, 10)
    assert await correct(-5, 1) == (600, 5)
    assert await correct(-300, 300) == (600, 5)
    await windows.clear_sliding_window("key/corrected/tokens", MINUTE_S)
    assert await correct(50, 0) == (0, 0)
    await windows.close()


async def test_a_crowd_at_once_waits_for_redis_and_is_counted_there(redis_server: RedisServer) -> None:
    windows, alone = RedisWindows(redis_server.url), MemoryWindows()
    pacer = Pacer(alone, windows)

    async def passes() -> bool:
        try:
            await pacer.request(Paced(), [MinuteLimit("key", "crowd", 100, None)])
        except RateLimitedError:
            return False
        return True

    assert sum(await asyncio.gather(*(passes() for _ in range(500)))) == 100
    assert len(alone) == 0
    await windows.close()


async def redis_set_age(server: RedisServer, key: str, age_s: int) -> None:
    """Make a window that old."""
    async with Redis.from_url(server.url) as client:
        assert await client.pexpire(f"tollbook:{key}", (2 * MINUTE_S - age_s) * 1000)


@pytest.mark.parametrize(("on_outage", "statuses"), [("local", [200, 200, 429]), ("refuse", [503, 503, 503])])
def test_without_the_shared_store_each_edge_counts_by_itself_or_refuses_as_the_setting_says(
    *, tmp_path: Path, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers, on_outage: str, statuses: list[int]
) -> None:
    with running_redis() as store:
        settings = {"TOLLBOOK_RATE_LIMIT_STORE": store.url, "TOLLBOOK_RATE_LIMIT_ON_OUTAGE": on_outage}
        with running_edge(tmp_path / "edge.log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as edge:
            key, free = edge.new_key(requests_per_minute=2), edge.new_key()
            early_in_a_minute()
            assert edge.chat(key).status_code == 200
            store.stop()
            assert [edge.chat(key).status_code for _ in range(3)] == statuses
            assert edge.chat(free).status_code == 200
            store.start()
            until(lambda: edge.chat(key).status_code == 200)
