"""A ledger with a past, behind its real processes: payments, limits, captures, overruns, releases, expiries, late usage."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg

from deploy.local import topics as stack_topics
from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import new_id, now
from schemas.money import Usage
from schemas.topics import topics as described
from tests.announced import announce, records
from tests.integration.settlement.processes import PRICES, Service, complete, publish, until
from tests.integration.settlement.requests_made import KEY, attempt_on, candidate, completion, hold_for
from tests.integration.settlement.topic_tampering import records_of

BIG = Usage(input_tokens=5_000, output_tokens=5_000)


@dataclass
class Story:
    """What was done, by name."""

    api: Service
    kafka: str
    database_url: str
    first: RequestCompleted | None = None
    """The first request of all."""
    overrun: UUID | None = None
    """The newest request that was charged more than its hold."""

    def tell(self) -> None:
        """Live the whole past; returns once the ledger has settled all of it."""
        known = [*records("a", project_id=KEY.project_id, key_id=KEY.key_id), *records("b"), *records("centre")]
        asyncio.run(announce(self.kafka, *known))
        for account in ("a", "b"):
            self.api.top_up(account)
            self.api.top_up(account, "20", "wallet")
        self.limit("a", "key", "key-1", "day")
        self.requests("a")
        self._corrections("a")
        self.limit("a", "project", "project-1", "total")
        self._publish_dearer_prices()
        self.requests("b")
        self._late("a")
        self._poison("a")
        self._runs("a")
        self._cost_centre("centre")
        self.limit("b", "account", "b", "month")
        self.api.top_up("late-payer", "1")
        self.settled()

    def limit(self, account: str, kind: str, entity: str, window: str) -> None:
        """A limit that nothing reaches."""
        body = {"account_id": account, "kind": kind, "id": entity, "currency": "USD", "window": window, "limit": "1000"}
        self.api.call("POST", "/admin/limits", json=body).raise_for_status()

    def pay(self, account: str) -> None:
        """One more payment."""
        body = {"account_id": account, "bucket": "credit", "amount": "0.01", "provider": "bank", "payment_id": str(new_id())}
        self.api.call("POST", "/admin/topups", json=body).raise_for_status()

    def settled(self) -> None:
        """Wait until nothing is on its way."""

        def quiet() -> bool:
            lag = self.api.call("GET", "/admin/lag").json()
            return not (sum(row["lag"] for row in lag["partitions"]) + lag["outbox_pending"] + lag["open_holds"])

        until(quiet, lambda: self.api.call("GET", "/admin/lag").json())

    def audit(self, **order: Any) -> dict[str, Any]:
        """The result of an audit."""
        reply = self.api.call("POST", "/admin/ledger/checks", json=order)
        assert reply.status_code == 202, reply.text
        path = f"/admin/ledger/checks/{reply.json()['id']}"
        until(lambda: self.api.call("GET", path).json()["state"] != "running", timeout_s=150)
        audit = self.api.call("GET", path).json()
        assert audit["state"] == "done", audit
        result: dict[str, Any] = audit["result"]
        return result

    def execute(self, *statements: str) -> None:
        """As somebody does who owns the database: no trigger is in the way."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("set search_path = settlement")
            for statement in statements:
                connection.execute(statement.encode())

    def requests(self, account: str) -> None:
        """Every way in which a request ends before its deadline, with repeats and a forgery."""
        plain = [hold_for(account) for _ in range(5)]
        failed, twice, forged, over = hold_for(account), hold_for(account), hold_for(account), hold_for(account)
        moved = hold_for(account)
        second = hold_for(account, request_id=moved.request_id, candidates=[candidate("pooled", "gpt-4o", "pool-a")])
        self.overrun = over.request_id
        holds = [*plain, failed, twice, forged, over, moved, second]
        assert {answer["status"] for answer in self.api.hold(*holds)} == {"held"}
        burned = attempt_on(failed, outcome="failed", operator_cost_nano=77, operator_cost_currency="USD")
        plainly, first, real = [completion(each) for each in plain], completion(twice), completion(forged)
        self.first = self.first or plainly[0]
        crossed = [attempt_on(moved, outcome="failed", error_class="timeout"), attempt_on(second, 2)]
        complete(
            self.kafka,
            [
                *plainly,
                completion(failed, attempts=[burned], charged=None),
                first,
                first,
                completion(twice),
                real,
                real.model_copy(update={"data": real.data.model_copy(update={"latency_ms": 99.0})}),
                completion(over, attempts=[attempt_on(over, usage=BIG)]),
                completion(moved, attempts=crossed, charged=2, hold_ids=[moved.hold_id, second.hold_id]),
            ],
        )
        self.settled()

    def ids_in(self, topic: str) -> tuple[int, dict[int, int]]:
        """Distinct event ids of a topic, and where its partitions end."""
        ends: dict[int, int] = dict.fromkeys(range(described()[topic].partitions), 0)
        ids = set()
        for record in records_of(self.kafka, topic):
            ids.add(orjson.loads(record.value)["event_id"])
            ends[record.partition] = record.offset + 1
        return len(ids), ends

    def _corrections(self, account: str) -> None:
        """Refunds, one of them of an overrun; a bucket corrected both ways; a payment taken back; credit that expires."""
        assert self.first is not None
        why = {"account_id": account, "reason": "a test", "author": "tester"}
        bucket = {**why, "bucket": "credit"}
        for path, body in (
            ("refunds", {**why, "request_id": str(self.first.request_id), "key": "r1", "amount": "0.0001"}),
            ("refunds", {**why, "request_id": str(self.overrun), "key": "r2"}),
            ("adjustments", {**bucket, "amount": "-0.25", "key": "a1"}),
            ("adjustments", {**bucket, "amount": "0.5", "key": "a2"}),
            ("chargebacks", {"provider": "bank", "payment_id": f"{account}-wallet", "dispute_id": "d1", "amount": "1",
                             "reason": "a test", "author": "tester"}),
        ):  # fmt: skip
            reply = self.api.call("POST", f"/admin/{path}", json=body)
            assert reply.status_code == 201, reply.text

        def given() -> bool:
            """Whether it was taken; it is refused where the machine stood still until its end had passed."""
            soon = (now() + timedelta(seconds=2)).isoformat()
            credit = {**bucket, "amount": "0.3", "expires_at": soon, "key": "p1"}
            return self.api.call("POST", "/admin/promotions", json=credit).status_code == 201

        until(given)
        until(lambda: self._count("txn where kind = 'credit_expiry'") == 1)

    def _late(self, account: str) -> None:
        """One hold expires and its usage comes afterwards; another expires for good."""
        late, lost = self._overdue(account), self._overdue(account)
        self.api.hold(late, lost)
        until(lambda: self._state(late) == "EXPIRED" and self._state(lost) == "EXPIRED")
        complete(self.kafka, [completion(late)])
        self.settled()

    def _poison(self, account: str) -> None:
        publish(self.kafka, topics.ATTEMPTS, [(account, "RequestCompleted", b'{"no": "completion"}')])
        self.settled()

    def _runs(self, account: str) -> None:
        """A run whose reserve pays and is overrun, one that is only a limit, one that stays open; two of them are closed."""
        reserved, limited, left_open = (self._open_run(account, reserve=reserve) for reserve in (True, False, True))
        holds = [
            hold_for(account, run_id=run, max_output_tokens=1000) for run in (reserved, limited, left_open) for _ in range(2)
        ]
        assert {answer["status"] for answer in self.api.hold(*holds)} == {"held"}
        ends = [completion(hold, attempts=[attempt_on(hold, usage=BIG)]) for hold in holds]
        complete(self.kafka, [end.model_copy(update={"run_id": hold.run_id}) for end, hold in zip(ends, holds, strict=True)])
        self.settled()
        path = f"/internal/accounts/{account}/runs/{left_open}/extend"
        self._run_call(path, {"budget": {"credit": "0.25"}})
        for run in (reserved, limited):
            self._run_call(f"/internal/accounts/{account}/runs/{run}/close", {})

    def _open_run(self, account: str, *, reserve: bool) -> str:
        deadline = (now() + timedelta(hours=1)).isoformat()
        body = {"budget": {"credit": "0.08"}, "reserve": reserve, "deadline_at": deadline}
        return str(self._run_call(f"/internal/accounts/{account}/runs", body)["id"])

    def _run_call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.api.call("POST", path, token="edge", json={"key": KEY.model_dump(), **body})
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def _cost_centre(self, account: str) -> None:
        """A bucket below zero, which a limit funds."""
        body = {"account_id": account, "bucket": "credit", "limit": "5"}
        self.api.call("POST", "/admin/cost-centres", json=body).raise_for_status()
        holds = [hold_for(account) for _ in range(3)]
        assert {answer["status"] for answer in self.api.hold(*holds)} == {"held"}
        complete(self.kafka, [completion(holds[0]), completion(holds[1], attempts=[attempt_on(holds[1], usage=BIG)])])
        complete(self.kafka, [completion(holds[2], charged=None)])
        self.settled()

    @staticmethod
    def _overdue(account: str) -> HoldRequest:
        return hold_for(account, hold_id=new_id(), deadline_at=now() - timedelta(seconds=1))

    def _state(self, hold: HoldRequest) -> str:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("select state from settlement.hold where id = %s", (hold.hold_id,)).fetchone()
        assert row is not None
        return str(row[0])

    def _count(self, rows: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(f"select count(*) from settlement.{rows}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _publish_dearer_prices(self) -> None:
        text = PRICES.read_text("utf-8").replace('input: "2.5"', 'input: "3.5"')
        reply = self.api.call("POST", "/admin/price-books", content=text)
        assert reply.status_code == 201, reply.text


def empty_topics(bootstrap_servers: str) -> None:
    """Every topic exists and has no record."""
    asyncio.run(stack_topics.delete_all(bootstrap_servers))
    asyncio.run(stack_topics.create(bootstrap_servers))
