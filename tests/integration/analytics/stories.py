"""Events of made-up requests, as the services would write them: a story is one request from acceptance to capture."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas import alerts, attempts, ledger, requests
from schemas.envelope import TYPE_HEADER, Event, new_id
from schemas.money import Prices, Usage, charge_nano, hold_nano
from schemas.registry import topic_of

MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4")
ROUTES = {
    "openai-main": ("direct", "openai", "credit", "USD"),
    "openai-spare": ("direct", "openai", "credit", "USD"),
    "pool-a": ("pooled", "openai", "wallet", "CNY"),
}
PRICES = Prices.parse("2.5", "10")
HELD_NANO = hold_nano(PRICES, 8000, 1000)
ERRORS: Sequence[attempts.ErrorClass] = ("rate_limited", "timeout", "upstream_error")


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What all events of one story share."""

    key: requests.KeyRef
    model: str
    begin: datetime
    envelope: dict[str, Any]
    tries: list[attempts.Attempt]

    @property
    def last(self) -> attempts.Attempt:
        """The attempt that answered, or the last that failed."""
        return self.tries[-1]

    @property
    def charged(self) -> bool:
        """Whether the customer pays."""
        return self.last.outcome == "succeeded"

    @property
    def cost_nano(self) -> int:
        """What the customer pays."""
        return charge_nano(PRICES, self.last.usage) if self.charged else 0

    @property
    def end(self) -> datetime:
        """When the reply ended."""
        return self.begin + timedelta(milliseconds=sum(attempt.latency_ms for attempt in self.tries))


def stories(
    count: int, *, seed: int = 1, start: datetime | None = None, spread_s: float = 0.0, accounts: int = 3, keys: int = 2
) -> Iterator[list[Event]]:
    """`count` requests, spread evenly over `spread_s` seconds from `start` (now if None). Same seed, same stories."""
    rng = random.Random(seed)
    begin = start or datetime.now(UTC)
    for number in range(count):
        at = begin + timedelta(seconds=spread_s * number / count)
        yield _rejected(rng, at, accounts, keys) if rng.random() < 0.05 else _completed(rng, at, accounts, keys)


def _who(rng: random.Random, accounts: int, keys: int) -> tuple[requests.KeyRef, dict[str, Any]]:
    account, key = rng.randrange(accounts), rng.randrange(keys)
    envelope = {
        "request_id": new_id(),
        "account_id": f"acc_{account}",
        "environment": rng.choice(("production", "staging")),
        "tags": {"feature": rng.choice(("chat", "search"))} if rng.random() < 0.5 else {},
    }
    name = f"team {account}.{key}"
    return requests.KeyRef(project_id=f"prj_{account}", key_id=f"key{account:04d}{key:05d}", key_name=name), envelope


def _rejected(rng: random.Random, at: datetime, accounts: int, keys: int) -> list[Event]:
    key, envelope = _who(rng, accounts, keys)
    data = requests.RequestRejectedData(
        key=key,
        client_api="chat.completions",
        requested_model="gpt-9",
        http_status=404,
        code="model_not_found",
        message="no such model",
    )
    return [requests.RequestRejected(occurred_at=at, data=data, **envelope)]


def _completed(rng: random.Random, at: datetime, accounts: int, keys: int) -> list[Event]:
    key, envelope = _who(rng, accounts, keys)
    model = rng.choice(MODELS)
    telling = Telling(key=key, model=model, begin=at, envelope=envelope, tries=_attempts(rng, at, model))
    accepted = requests.RequestAcceptedData(
        key=key,
        client_api="chat.completions",
        requested_model=model,
        stream=rng.random() < 0.5,
        body_bytes=rng.randrange(50, 9000),
    )
    return [
        requests.RequestAccepted(occurred_at=at, data=accepted, **envelope),
        *_attempt_events(telling),
        _completion(telling, overhead_ms=rng.uniform(1, 5)),
        *_money(telling),
    ]


def _attempts(rng: random.Random, at: datetime, model: str) -> list[attempts.Attempt]:
    tries: list[attempts.Attempt] = []
    hold_id = new_id()
    for number, channel in enumerate(ROUTES, start=1):
        failed = rng.random() < 0.15
        latency_ms = rng.lognormvariate(6, 0.6)
        output_tokens = 0 if failed else rng.randrange(5, 900)
        usage = Usage(
            input_tokens=rng.randrange(20, 4000), cached_input_tokens=rng.choice((0, 0, 512)), output_tokens=output_tokens
        )
        tries.append(
            attempts.Attempt(
                attempt=number,
                **_candidate(channel, model).model_dump(),
                hold_id=hold_id,
                started_at=at,
                outcome="failed" if failed else "succeeded",
                error_class=rng.choice(ERRORS) if failed else None,
                http_status=502 if failed else 200,
                latency_ms=latency_ms,
                ttft_ms=None if failed else latency_ms / 4,
                usage=Usage() if failed and rng.random() < 0.5 else usage,
                usage_source="reported",
            )
        )
        at += timedelta(milliseconds=latency_ms)
        if not failed:
            break
    return tries


def _fallbacks(telling: Telling) -> list[attempts.Fallback]:
    return [
        attempts.Fallback(
            from_channel=a.channel,
            to_channel=b.channel,
            from_attempt=a.attempt,
            to_attempt=b.attempt,
            reason=a.error_class or "internal",
        )
        for a, b in pairwise(telling.tries)
    ]


def _attempt_events(telling: Telling) -> list[Event]:
    finished = [
        attempts.AttemptFinished(
            occurred_at=attempt.started_at + timedelta(milliseconds=attempt.latency_ms),
            data=attempts.AttemptFinishedData(key=telling.key, requested_model=telling.model, attempt=attempt),
            **telling.envelope,
        )
        for attempt in telling.tries
    ]
    taken = [
        attempts.FallbackTaken(
            occurred_at=telling.end,
            data=attempts.FallbackTakenData(key=telling.key, requested_model=telling.model, fallback=fallback),
            **telling.envelope,
        )
        for fallback in _fallbacks(telling)
    ]
    return [*finished, *taken]


def _completion(telling: Telling, overhead_ms: float) -> Event:
    last = telling.last
    _, _, bucket, currency = ROUTES[last.channel]
    data = attempts.RequestCompletedData(
        key=telling.key,
        client_api="chat.completions",
        requested_model=telling.model,
        stream=False,
        outcome=last.outcome,
        http_status=200 if telling.charged else 502,
        error_class=last.error_class,
        plan=[_candidate(name, telling.model) for name in ROUTES],
        attempts=telling.tries,
        fallbacks=_fallbacks(telling),
        hold_ids=[last.hold_id],
        charged_attempt=last.attempt if telling.charged else None,
        bucket=bucket,
        currency=currency,
        cost_nano=telling.cost_nano,
        accepted_at=telling.begin,
        latency_ms=(telling.end - telling.begin).total_seconds() * 1000,
        ttft_ms=last.ttft_ms,
        overhead_ms=overhead_ms,
    )
    return attempts.RequestCompleted(occurred_at=telling.end, data=data, **telling.envelope)


def _money(telling: Telling) -> list[Event]:
    last, key, cost = telling.last, telling.key, telling.cost_nano
    route_type, _, bucket, currency = ROUTES[last.channel]
    held = ledger.HoldPlacedData(
        hold_id=last.hold_id,
        key=key,
        bucket=bucket,
        currency=currency,
        amount_nano=HELD_NANO,
        price_version=1,
        input_tokens_bound=8000,
        output_cap=1000,
        channel=last.channel,
        deadline_at=telling.begin + timedelta(minutes=5),
    )
    placed = ledger.HoldPlaced(occurred_at=telling.begin, data=held, **telling.envelope)
    if not telling.charged:
        back = ledger.ReleasedData(
            hold_id=last.hold_id, key=key, bucket=bucket, currency=currency, amount_nano=HELD_NANO, reason="not_charged"
        )
        return [placed, ledger.Released(occurred_at=telling.end, data=back, **telling.envelope)]
    captured = ledger.CapturedData(
        hold_id=last.hold_id,
        txn_id=new_id(),
        key=key,
        requested_model=telling.model,
        channel=last.channel,
        route_type=route_type,
        upstream_model=telling.model,
        usage=last.usage,
        price_version=1,
        hold_nano=HELD_NANO,
        captured_nano=cost,
        released_nano=HELD_NANO - cost,
        planned=ledger.PlannedRoute(route_type=ROUTES[next(iter(ROUTES))][0], upstream_model=telling.model),
        balance=ledger.BalanceMove(
            bucket=bucket, currency=currency, before_nano=10**12, after_nano=10**12 - cost, held_after_nano=0
        ),
    )
    return [placed, ledger.Captured(occurred_at=telling.end, data=captured, **telling.envelope)]


def _candidate(channel: str, model: str) -> attempts.Candidate:
    route_type, brand, _, _ = ROUTES[channel]
    place = {"channel": channel, "route_type": route_type, "brand": brand, "upstream_model": model}
    return attempts.Candidate.model_validate(place)


def velocity_alert(name: str, state: alerts.AlertState, at: datetime, key_id: str = "key000000000") -> Event:
    """An alert's beginning or end."""
    data = alerts.VelocityAlertData(
        alert_id=name,
        signal="tokens_per_minute_by_key",
        state=state,
        subject_kind="key",
        subject_id=key_id,
        observed=400_000,
        threshold=200_000,
        unit="tokens/min",
        window_start=at - timedelta(minutes=1),
        window_end=at,
        message=f"Key {key_id} used 400,000 tokens within a minute",
    )
    return alerts.VelocityAlert(occurred_at=at, account_id="acc_0", data=data)


async def publish(bootstrap_servers: str, events: Sequence[Event], *, per_second: float | None = None) -> None:
    """Write the events to their topics, in order, as the services do; `per_second` paces them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=5)
    async with producer:
        clock = asyncio.get_running_loop().time
        begin = clock()
        sent = []
        for number, event in enumerate(events):
            headers = [(TYPE_HEADER, event.type.encode())]
            key = event.account_id.encode()
            sent.append(await producer.send(topic_of(type(event)), key=key, value=event.to_json(), headers=headers))
            if per_second and (ahead_s := begin + number / per_second - clock()) > 0.01:
                await asyncio.sleep(ahead_s)
        await asyncio.gather(*sent)
