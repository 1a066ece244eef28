"""Events of made-up requests, as the services would write them: each story is one request from its acceptance to its capture."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
ERRORS: Sequence[attempts.ErrorClass] = ("rate_limited", "timeout", "upstream_error")


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Tells stories; the same seed and start give the same ones but for the ids."""

    seed: int = 1
    accounts: int = 3
    keys_per_account: int = 2

    def stories(self, count: int, start: datetime | None = None, spread_s: float = 0.0) -> Iterator[list[Event]]:
        """`count` requests, spread evenly over `spread_s` seconds from `start` (now if None)."""
        rng = random.Random(self.seed)
        begin = start or datetime.now(UTC)
        for number in range(count):
            at = begin + timedelta(seconds=spread_s * number / max(count, 1))
            yield self._rejected(rng, at) if rng.random() < 0.05 else self._completed(rng, at)

    def _who(self, rng: random.Random) -> dict[str, Any]:
        account = rng.randrange(self.accounts)
        key = rng.randrange(self.keys_per_account)
        tags = {"feature": rng.choice(("chat", "search"))} if rng.random() < 0.5 else {}
        return {
            "account_id": f"acc_{account}",
            "environment": rng.choice(("production", "staging")),
            "tags": tags,
            "key": requests.KeyRef(
                project_id=f"prj_{account}", key_id=f"key{account:04d}{key:05d}", key_name=f"team {account}.{key}"
            ),
        }

    def _rejected(self, rng: random.Random, at: datetime) -> list[Event]:
        who = self._who(rng)
        key = who.pop("key")
        data = requests.RequestRejectedData(
            key=key,
            client_api="chat.completions",
            requested_model="gpt-9",
            http_status=404,
            code="model_not_found",
            message="no such model",
        )
        return [requests.RequestRejected(occurred_at=at, request_id=new_id(), data=data, **who)]

    def _completed(self, rng: random.Random, at: datetime) -> list[Event]:
        who = self._who(rng)
        key = who.pop("key")
        envelope = {"request_id": new_id(), **who}
        model = rng.choice(MODELS)
        tries = self._attempts(rng, at, model)
        last = tries[-1]
        end = at + timedelta(milliseconds=sum(a.latency_ms for a in tries))
        fallbacks = [
            attempts.Fallback(
                from_channel=a.channel,
                to_channel=b.channel,
                from_attempt=a.attempt,
                to_attempt=b.attempt,
                reason=a.error_class or "internal",
            )
            for a, b in zip(tries, tries[1:], strict=False)
        ]
        _, _, bucket, currency = ROUTES[last.channel]
        charged = last.attempt if last.outcome == "succeeded" else None
        cost = charge_nano(PRICES, last.usage) if charged else 0
        story: list[Event] = [
            requests.RequestAccepted(
                occurred_at=at,
                data=requests.RequestAcceptedData(
                    key=key,
                    client_api="chat.completions",
                    requested_model=model,
                    stream=rng.random() < 0.5,
                    body_bytes=rng.randrange(50, 9000),
                ),
                **envelope,
            ),
            *(
                attempts.AttemptFinished(
                    occurred_at=a.started_at + timedelta(milliseconds=a.latency_ms),
                    data=attempts.AttemptFinishedData(key=key, requested_model=model, attempt=a),
                    **envelope,
                )
                for a in tries
            ),
            *(
                attempts.FallbackTaken(
                    occurred_at=end, data=attempts.FallbackTakenData(key=key, requested_model=model, fallback=f), **envelope
                )
                for f in fallbacks
            ),
            attempts.RequestCompleted(
                occurred_at=end,
                data=attempts.RequestCompletedData(
                    key=key,
                    client_api="chat.completions",
                    requested_model=model,
                    stream=False,
                    outcome=last.outcome,
                    http_status=200 if charged else 502,
                    error_class=last.error_class,
                    plan=[_candidate(name, model) for name in ROUTES],
                    attempts=tries,
                    fallbacks=fallbacks,
                    hold_ids=[last.hold_id],
                    charged_attempt=charged,
                    bucket=bucket,
                    currency=currency,
                    cost_nano=cost,
                    accepted_at=at,
                    latency_ms=(end - at).total_seconds() * 1000,
                    ttft_ms=last.ttft_ms,
                    overhead_ms=rng.uniform(1, 5),
                ),
                **envelope,
            ),
        ]
        return story + self._money(at, end, key, model, last, charged, cost, envelope)

    def _attempts(self, rng: random.Random, at: datetime, model: str) -> list[attempts.Attempt]:
        tries: list[attempts.Attempt] = []
        channels = list(ROUTES)
        hold_id = new_id()
        for number, channel in enumerate(channels, start=1):
            failed = rng.random() < 0.15
            latency = rng.lognormvariate(6, 0.6)
            usage = Usage(
                input_tokens=rng.randrange(20, 4000),
                cached_input_tokens=rng.choice((0, 0, 512)),
                output_tokens=0 if failed else rng.randrange(5, 900),
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
                    latency_ms=latency,
                    ttft_ms=None if failed else latency / 4,
                    usage=Usage() if failed and rng.random() < 0.5 else usage,
                    usage_source="reported",
                )
            )
            at += timedelta(milliseconds=latency)
            if not failed:
                break
        return tries

    def _money(
        self,
        at: datetime,
        end: datetime,
        key: requests.KeyRef,
        model: str,
        last: attempts.Attempt,
        charged: int | None,
        cost: int,
        envelope: dict[str, Any],
    ) -> list[Event]:
        route_type, _, bucket, currency = ROUTES[last.channel]
        held = hold_nano(PRICES, 8000, 1000)
        placed = ledger.HoldPlaced(
            occurred_at=at,
            data=ledger.HoldPlacedData(
                hold_id=last.hold_id,
                key=key,
                bucket=bucket,
                currency=currency,
                amount_nano=held,
                price_version=1,
                input_tokens_bound=8000,
                output_cap=1000,
                channel=last.channel,
                deadline_at=at + timedelta(minutes=5),
            ),
            **envelope,
        )
        if charged is None:
            released = ledger.ReleasedData(
                hold_id=last.hold_id, key=key, bucket=bucket, currency=currency, amount_nano=held, reason="not_charged"
            )
            return [placed, ledger.Released(occurred_at=end, data=released, **envelope)]
        captured = ledger.CapturedData(
            hold_id=last.hold_id,
            txn_id=new_id(),
            key=key,
            requested_model=model,
            channel=last.channel,
            route_type=route_type,
            upstream_model=model,
            usage=last.usage,
            price_version=1,
            hold_nano=held,
            captured_nano=cost,
            released_nano=held - cost,
            balance=ledger.BalanceMove(
                bucket=bucket, currency=currency, before_nano=10**12, after_nano=10**12 - cost, held_after_nano=0
            ),
        )
        return [placed, ledger.Captured(occurred_at=end, data=captured, **envelope)]


def _candidate(channel: str, model: str) -> attempts.Candidate:
    route_type, brand, _, _ = ROUTES[channel]
    return attempts.Candidate.model_validate(
        {"channel": channel, "route_type": route_type, "brand": brand, "upstream_model": model}
    )


def velocity_alert(alert_id: str, state: alerts.AlertState, at: datetime, key_id: str = "key000000000") -> Event:
    """An alert's beginning or end."""
    return alerts.VelocityAlert(
        occurred_at=at,
        account_id="acc_0",
        data=alerts.VelocityAlertData(
            alert_id=alert_id,
            signal="tokens_per_minute_by_key",
            state=state,
            subject_kind="key",
            subject_id=key_id,
            observed=400_000,
            threshold=200_000,
            unit="tokens/min",
            window_start=at - timedelta(minutes=1),
            window_end=at,
            message=f"{key_id} used 400,000 tokens within a minute",
        ),
    )


async def publish(bootstrap_servers: str, events: Sequence[Event], *, per_second: float | None = None) -> None:
    """Write the events to their topics, in order, as the services do."""
    import asyncio

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        clock = asyncio.get_running_loop().time
        begin = clock()
        sent = []
        for number, event in enumerate(events):
            sent.append(
                await producer.send(
                    topic_of(type(event)),
                    key=event.account_id.encode(),
                    value=event.to_json(),
                    headers=[(TYPE_HEADER, event.type.encode())],
                )
            )
            if per_second and (ahead := begin + number / per_second - clock()) > 0.01:
                await asyncio.sleep(ahead)
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
