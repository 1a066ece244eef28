"""The worker process on a real Kafka: killed, doubled, cut off from Postgres, and never a posting lost or made twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import psycopg
import pytest

from schemas import registry, topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import now
from services.settlement.migrate import migrate
from tests.integration.settlement.processes import TOKENS, Service, complete, contents, publish, running, until
from tests.integration.settlement.requests_made import completion, hold_for

CHARGE = 1_375_000
FUNDS = 10_000_000_000


@pytest.fixture(scope="module")
def migrated_url(module_database_url: str) -> str:
    """A database with settlement's tables."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture(scope="module")
def api(migrated_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API beside the worker."""
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    with running("services.settlement", log, migrated_url, kafka_bootstrap_servers) as service:
        yield service


@pytest.fixture
def account(api: Service) -> str:
    """A funded account of its own."""
    name = f"account-{uuid4().hex[:8]}"
    api.top_up(name)
    return name


def held(api: Service, account: str, count: int) -> list[HoldRequest]:
    """Granted holds."""
    requests = [hold_for(account) for _ in range(count)]
    for start in range(0, count, 100):
        assert {answer["status"] for answer in api.hold(*requests[start : start + 100])} == {"held"}
    return requests


def lag(api: Service) -> int:
    """Records that the ledger has not read."""
    return sum(row["lag"] for row in api.call("GET", "/admin/lag").json()["partitions"])


def check(url: str, kafka: str) -> str:
    """The check command's output; empty where every invariant holds."""
    done = subprocess.run(
        [sys.executable, "-m", "services.settlement.check"],
        env=os.environ | TOKENS | {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_completions_are_settled_and_their_events_published(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    requests = held(api, account, 50)
    complete(kafka_bootstrap_servers, [completion(request) for request in requests])
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers) as worker:
        until(lambda: api.balance(account) == (FUNDS - 50 * CHARGE, 0), lambda: worker.log.read_text("utf-8"))
        until(lambda: api.call("GET", "/admin/lag").json()["outbox_pending"] == 0)
        events = [
            registry.decode(topics.LEDGER, event["type"], orjson.dumps(event))
            for event in contents(kafka_bootstrap_servers, topics.LEDGER)
            if event["account_id"] == account
        ]
        assert Counter(event.type for event in events) == {"ToppedUp": 1, "HoldPlaced": 50, "Captured": 50}
        assert len({event.event_id for event in events}) == 101
        placed = next(event for event in events if event.type == "HoldPlaced")
        assert placed.request_id in {request.request_id for request in requests}
        assert "tollbook_settlement_settled_total" in worker.client.get("/metrics").text
        assert worker.stop() == 0
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_killed_again_and_again_under_load_nothing_is_lost_or_doubled(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    requests = held(api, account, 1200)
    events = [completion(request) for request in requests]
    log = tmp_path / "log"
    small = {"TOLLBOOK_SETTLE_BATCH": "20", "TOLLBOOK_SETTLE_LINGER_MS": "0", "wait": ""}
    for round_ in range(4):
        complete(kafka_bootstrap_servers, events[round_ * 300 : (round_ + 1) * 300])
        with running("services.settlement.worker", log, migrated_url, kafka_bootstrap_servers, **small) as worker:
            done = FUNDS - round_ * 300 * CHARGE
            until(lambda done=done: api.balance(account)[0] < done, lambda: log.read_text("utf-8"))  # type: ignore[misc]
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait(60)
    with running("services.settlement.worker", log, migrated_url, kafka_bootstrap_servers):
        until(lambda: api.balance(account) == (FUNDS - 1200 * CHARGE, 0), lambda: log.read_text("utf-8"))
        until(lambda: api.call("GET", "/admin/lag").json()["outbox_pending"] == 0)
    published = [event for event in contents(kafka_bootstrap_servers, topics.LEDGER) if event["account_id"] == account]
    assert Counter({event["event_id"]: event["type"] for event in published}.values()) == {
        "ToppedUp": 1,
        "HoldPlaced": 1200,
        "Captured": 1200,
    }
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_a_successor_of_the_same_name_goes_on_at_once(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    patient = {"TOLLBOOK_LEASE_SECONDS": "3600"}
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers, **patient) as worker:
        worker.process.kill()
        worker.process.wait(60)
    request = held(api, account, 1)[0]
    complete(kafka_bootstrap_servers, [completion(request)])
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers) as worker:
        until(lambda: api.balance(account) == (FUNDS - CHARGE, 0), lambda: worker.log.read_text("utf-8"))


def test_a_worker_that_is_frozen_does_not_keep_the_outbox_from_its_successor(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    place = (migrated_url, kafka_bootstrap_servers)
    with running("services.settlement.worker", tmp_path / "frozen", *place) as frozen:
        until(lambda: api.call("GET", "/admin/lag").json()["outbox_pending"] == 0)
        frozen.process.send_signal(signal.SIGSTOP)
        request = held(api, account, 1)[0]
        complete(kafka_bootstrap_servers, [completion(request)])
        with running("services.settlement.worker", tmp_path / "log", *place, TOLLBOOK_SILENT_SECONDS="1") as worker:
            until(lambda: api.balance(account) == (FUNDS - CHARGE, 0), lambda: worker.log.read_text("utf-8"))
            until(lambda: api.call("GET", "/admin/lag").json()["outbox_pending"] == 0)
            frozen.process.send_signal(signal.SIGCONT)
            until(lambda: "relay_waits" in frozen.log.read_text("utf-8"))
            assert frozen.process.poll() is None
    published = [event for event in contents(kafka_bootstrap_servers, topics.LEDGER) if event["account_id"] == account]
    assert Counter({event["event_id"]: event["type"] for event in published}.values()) == {
        "ToppedUp": 1,
        "HoldPlaced": 1,
        "Captured": 1,
    }
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_two_workers_share_the_partitions_and_post_once(
    api: Service, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    accounts = [f"account-{uuid4().hex[:8]}" for _ in range(12)]
    for name in accounts:
        api.top_up(name)
    events: list[RequestCompleted] = [completion(request) for name in accounts for request in held(api, name, 20)]
    with (
        running(
            "services.settlement.worker", tmp_path / "1", migrated_url, kafka_bootstrap_servers, TOLLBOOK_WORKER_NAME="one"
        ),
        running(
            "services.settlement.worker",
            tmp_path / "2",
            migrated_url,
            kafka_bootstrap_servers,
            TOLLBOOK_WORKER_NAME="two",
            wait="/healthz",
        ),
    ):
        complete(kafka_bootstrap_servers, events)
        until(lambda: all(api.balance(name) == (FUNDS - 20 * CHARGE, 0) for name in accounts))
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_a_worker_cut_off_from_postgres_goes_on_when_it_is_back(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    requests = held(api, account, 200)
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers) as worker:
        for start in range(0, 200, 50):
            complete(kafka_bootstrap_servers, [completion(request) for request in requests[start : start + 50]])
            with psycopg.connect(migrated_url, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
        until(lambda: answered(api, account) == (FUNDS - 200 * CHARGE, 0), lambda: worker.log.read_text("utf-8"))
        assert worker.process.poll() is None
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def answered(api: Service, account: str) -> tuple[int, int] | None:
    """The balance, or None while the API itself has lost its connections."""
    reply = api.call("GET", f"/internal/accounts/{account}/balances", token="edge")
    if reply.status_code != 200:
        return None
    row = reply.json()["data"][0]
    return row["posted_nano"], row["held_nano"]


def test_a_hold_that_never_completes_expires_into_a_case(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    dead = hold_for(account, deadline_at=now() - timedelta(seconds=1))
    completed = hold_for(account, deadline_at=now() - timedelta(seconds=1))
    api.hold(dead, completed)
    complete(kafka_bootstrap_servers, [completion(completed)])
    soon = {"TOLLBOOK_HOLD_GRACE_SECONDS": "0.1", "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.2"}
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers, **soon) as worker:
        until(lambda: api.balance(account)[1] == 0, lambda: worker.log.read_text("utf-8"))
    assert api.balance(account) == (FUNDS - CHARGE, 0)
    states = {
        request.hold_id: api.call("GET", f"/internal/accounts/{account}/receipts/{request.request_id}", token="edge").json()[
            "status"
        ]
        for request in (dead, completed)
    }
    assert states == {dead.hold_id: "expired", completed.hold_id: "settled"}
    cases = [case for case in api.call("GET", "/admin/cases?open=true").json()["data"] if case["holder"] == account]
    assert [case["kind"] for case in cases] == ["expired_hold"]
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_events_from_the_ingress_table_reach_their_topic_and_are_settled(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    request = held(api, account, 1)[0]
    event = completion(request)
    body = {"topic": topics.ATTEMPTS, "key": account, "type": event.type, "event_id": str(event.event_id)}
    sent = {"events": [{**body, "value": event.to_json().decode()}]}
    for _ in range(2):
        assert api.call("POST", "/internal/ingress", token="router", json=sent).status_code == 202
    complete(kafka_bootstrap_servers, [event])
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers) as worker:
        until(lambda: api.balance(account) == (FUNDS - CHARGE, 0), lambda: worker.log.read_text("utf-8"))
        until(lambda: api.call("GET", "/admin/lag").json()["ingress_pending"] == 0)
        until(lambda: lag(api) == 0)
    same = [each for each in contents(kafka_bootstrap_servers, topics.ATTEMPTS) if each["event_id"] == str(event.event_id)]
    assert len(same) == 2
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_poison_never_stalls_a_partition(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    request = held(api, account, 1)[0]
    event = completion(request).to_json()
    poison = [b"", b"{", b"\xff", b"null", event[:-1], b"[" * 5000, event.replace(b'"version":1', b'"version":9')]
    publish(kafka_bootstrap_servers, topics.ATTEMPTS, [(account, "RequestCompleted", each) for each in [*poison, event]])
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers) as worker:
        until(lambda: api.balance(account) == (FUNDS - CHARGE, 0), lambda: worker.log.read_text("utf-8"))
        until(lambda: len(contents(kafka_bootstrap_servers, topics.DEAD)) == len(poison))
    assert check(migrated_url, kafka_bootstrap_servers) == ""


def test_a_moved_offset_halts_the_worker_and_says_so(
    api: Service, account: str, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    request = held(api, account, 1)[0]
    complete(kafka_bootstrap_servers, [completion(request)])
    behind = [row for row in api.call("GET", "/admin/lag").json()["partitions"] if row["lag"]]
    moved = {"partition": behind[0]["partition"], "lag": behind[0]["lag"]}
    query = (
        "update settlement.consumer_offset set next = next + %(lag)s, consumed = consumed + %(lag)s"
        " where partition = %(partition)s"
    )
    back = query.replace("+", "-")
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(query.encode(), moved)
        halted = {"wait": "/healthz"}
        with running("services.settlement.worker", tmp_path / "1", migrated_url, kafka_bootstrap_servers, **halted) as worker:
            until(lambda: "halted" in worker.client.get("/readyz").text, lambda: worker.log.read_text("utf-8"))
            assert worker.client.get("/readyz").status_code == 503
        assert api.balance(account)[0] == FUNDS
        connection.execute(back.encode(), moved)
    with running("services.settlement.worker", tmp_path / "2", migrated_url, kafka_bootstrap_servers) as worker:
        until(lambda: api.balance(account) == (FUNDS - CHARGE, 0), lambda: worker.log.read_text("utf-8"))
