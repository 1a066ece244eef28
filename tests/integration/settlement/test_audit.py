"""The auditor on a live ledger: an honest one passes to the last unit, and whatever is tampered with is named."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psutil
import pytest

from schemas import topics
from schemas.ledger import BalanceMove, ToppedUp, ToppedUpData
from services.settlement.migrate import migrate
from tests.integration.settlement.audited import Story, empty_topics
from tests.integration.settlement.processes import complete, publish, running, until
from tests.integration.settlement.requests_made import completion, hold_for
from tests.integration.settlement.topic_tampering import remove_oldest, take_out, without_first

HONEST = {"count": 0, "first": []}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_server: str) -> Iterator[Story]:
    """A ledger with a past and its processes, for the whole module: whoever tampers with it mends it again."""
    empty_topics(kafka_server)
    migrate(module_database_url)
    logs = tmp_path_factory.mktemp("logs")
    quick = {"TOLLBOOK_HOLD_GRACE_SECONDS": "0.2", "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.2"}
    quick |= {"TOLLBOOK_CREDIT_INTERVAL_SECONDS": "0.2"}
    with (
        running("services.settlement", logs / "api.log", module_database_url, kafka_server) as api,
        running("services.settlement.worker", logs / "worker.log", module_database_url, kafka_server, **quick),
    ):
        told = Story(api, kafka_server, module_database_url)
        told.tell()
        yield told


def test_an_honest_ledger_passes_to_the_last_unit(story: Story) -> None:
    result = story.audit(kind="check")
    report = result["rebuild"]
    assert result["ok"], result
    assert report["differences"] == {"buckets": HONEST, "windows": HONEST, "postings": HONEST}
    assert report["findings"] == {}
    counts = report["counts"]
    assert (counts["forged"], counts["windows"], counts["buckets"]) == (2, 5, 8)
    assert counts["repeats"] >= 4
    assert {each["name"]: each["ok"] for each in result["invariants"] if each["ok"] is not True} == {"I12": None}


def test_a_ledger_passes_while_it_works(story: Story) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            holds = [hold_for("live", max_output_tokens=10) for _ in range(8)]
            story.api.hold(*holds)
            complete(story.kafka, [completion(hold) for hold in holds[1:]])
            story.pay("live")

    story.api.top_up("live")
    worker = threading.Thread(target=work)
    worker.start()
    try:
        reports = [story.audit(kind="rebuild") for _ in range(3)]
    finally:
        stop.set()
        worker.join()
    assert [report["ok"] for report in reports] == [True] * 3, reports
    transactions = [report["rebuild"]["counts"]["transactions"] for report in reports]
    assert transactions == sorted(set(transactions)), "each audit has seen more than the one before it"


def test_an_audit_whose_process_is_killed_has_failed_at_once_and_the_next_one_runs(story: Story) -> None:
    audit_id = story.api.call("POST", "/admin/ledger/checks", json={"kind": "rebuild"}).json()["id"]
    assert story.api.call("POST", "/admin/ledger/checks", json={}).status_code == 409
    [process] = [each for each in psutil.Process(story.api.process.pid).children() if audit_id in each.cmdline()]
    process.kill()
    path = f"/admin/ledger/checks/{audit_id}"
    until(lambda: story.api.call("GET", path).json()["state"] == "failed")
    assert "status -9" in story.api.call("GET", path).json()["error"]
    assert story.audit(kind="rebuild")["ok"]


@dataclass(frozen=True)
class Tampering:
    """What somebody changes in the database, how it is undone, and where the report must name it."""

    change: Sequence[str]
    undo: Sequence[str]
    differs: str | None = None
    found: str | None = None
    names: str = ""


ONE_CAPTURE = "(select id from txn where kind = 'capture' and holder = 'a' order by id limit 1)"
ONE_EVENT = "(select event_id from inbox order by event_id limit 1)"
ANOTHER = "(select event_id from inbox order by event_id desc limit 1)"
TAMPERINGS = {
    "a balance": Tampering(
        ["update bucket_balance set posted = posted + 1 where holder = 'a' and bucket = 'credit'"],
        ["update bucket_balance set posted = posted - 1 where holder = 'a' and bucket = 'credit'"],
        differs="buckets",
        names="'measure': 'posted'",
    ),
    "a debt": Tampering(
        ["update bucket_balance set overrun = overrun + 7 where holder = 'b' and bucket = 'credit'"],
        ["update bucket_balance set overrun = overrun - 7 where holder = 'b' and bucket = 'credit'"],
        differs="buckets",
        names="'measure': 'owed'",
    ),
    "a window": Tampering(
        ["update envelope_window set spent = spent - 1 where id = (select min(id) from envelope_window)"],
        ["update envelope_window set spent = spent + 1 where id = (select min(id) from envelope_window)"],
        differs="windows",
        names="'measure': 'spent'",
    ),
    "both lines of a posting": Tampering(
        [f"update posting set amount = amount + 5 where txn = {ONE_CAPTURE}"],
        [f"update posting set amount = amount - 5 where txn = {ONE_CAPTURE}"],
        differs="postings",
        names="revenue/USD",
    ),
    "a posting that nobody asked for": Tampering(
        [
            "insert into txn (id, kind, idem_key, holder, detail) "
            "values ('00000000-0000-7000-8000-000000000001', 'topup', 'topup:x', 'a', '{}')"
        ],
        ["delete from txn where idem_key = 'topup:x'"],
        found="fact_without_event",
        names="00000000-0000-7000-8000-000000000001",
    ),
    "an event that the inbox forgot": Tampering(
        [
            f"create table kept as select * from inbox where event_id = {ONE_EVENT}",
            f"delete from inbox where event_id = {ONE_EVENT}",
        ],
        ["insert into inbox select * from kept", "drop table kept"],
        found="completion_not_posted",
    ),
    "a payload that was swapped after it was posted": Tampering(
        [f"update inbox set payload_hash = decode(reverse(encode(payload_hash, 'hex')), 'hex') where event_id = {ANOTHER}"],
        [f"update inbox set payload_hash = decode(reverse(encode(payload_hash, 'hex')), 'hex') where event_id = {ANOTHER}"],
        found="posting_without_event",
        names="its payload is not the one that was posted",
    ),
    "a dead letter that is gone": Tampering(
        ["create table kept_letters as select * from dead_letter", "delete from dead_letter"],
        ["insert into dead_letter select * from kept_letters", "drop table kept_letters"],
        found="poison_not_set_aside",
        names="unreadable",
    ),
    "a price book": Tampering(
        [
            "create table kept_book as select * from price_book where version = 1",
            "update price_book set document = replace(document::text, '\"output\":10000000000', '\"output\":9000000000')::json "
            "where version = 1",
        ],
        ["update price_book b set document = k.document from kept_book k where b.version = k.version", "drop table kept_book"],
        found="price_book",
        names="price book 1",
    ),
    "a case that was never told": Tampering(
        [
            'insert into "case" (id, kind, holder, detail, owner, due_at) '
            "values ('00000000-0000-7000-8000-000000000002', 'overrun', 'a', 'x', 'x', now())"
        ],
        ["delete from \"case\" where id = '00000000-0000-7000-8000-000000000002'"],
        found="fact_without_event",
        names="00000000-0000-7000-8000-000000000002",
    ),
}


@contextmanager
def tampered(story: Story, *tamperings: Tampering) -> Iterator[None]:
    """The changes, mended at the end."""
    with ExitStack() as stack:
        for tampering in tamperings:
            stack.callback(story.execute, *tampering.undo)
            story.execute(*tampering.change)
        yield


def test_everything_that_was_tampered_with_is_named(story: Story) -> None:
    with tampered(story, *TAMPERINGS.values()):
        result = story.audit(kind="rebuild")
    assert not result["ok"]
    report = result["rebuild"]
    unnamed = []
    for name, tampering in TAMPERINGS.items():
        parts = report["differences"] if tampering.differs else report["findings"]
        part = parts.get(tampering.differs or tampering.found, HONEST)
        if not part["count"] or tampering.names not in str(part["first"]):
            unnamed.append((name, part))
    assert unnamed == []
    assert story.first is not None
    assert str(story.first.request_id) in str(report["findings"]["mispriced"]["first"])
    assert report["findings"]["mispriced"]["count"] >= 5
    assert {row["measure"] for row in report["differences"]["buckets"]["first"]} == {"posted", "owed"}


def test_what_clickhouse_lacks_or_has_twice_is_named(story: Story) -> None:
    distinct, ends = story.ids_in(topics.LEDGER)

    def asked(count: int) -> dict[str, Any]:
        loaded = {topics.LEDGER: {"distinct_event_ids": count, "floor": ends, "ceiling": ends}}
        result = story.audit(kind="check", loaded=loaded)
        return next(dict(each) for each in result["invariants"] if each["name"] == "I12")

    assert asked(distinct)["ok"] is True
    for count in (distinct - 1, distinct + 1):
        verdict = asked(count)
        assert verdict["ok"] is False
        assert verdict["first"][0]["topic"] == topics.LEDGER


def test_an_event_that_the_ledger_never_wrote_is_named(story: Story) -> None:
    move = BalanceMove(bucket="credit", currency="USD", before_nano=0, after_nano=5, held_after_nano=0)
    data = ToppedUpData(txn_id=uuid4(), provider="bank", payment_id="never", amount_nano=5, balance=move)
    forged = ToppedUp(account_id="a", data=data)
    publish(story.kafka, topics.LEDGER, [("a", "ToppedUp", forged.to_json())])
    try:
        report = story.audit(kind="rebuild")["rebuild"]
    finally:
        take_out(story.kafka, topics.LEDGER, str(forged.event_id))
    assert report["findings"]["event_without_fact"]["count"] == 1
    assert str(forged.event_id) in report["findings"]["event_without_fact"]["first"][0]
    assert report["differences"]["buckets"]["count"] == 0, "what has no fact is not folded"


def test_events_that_were_dropped_from_the_ledgers_topic_are_named(story: Story) -> None:
    with without_first(story.kafka, topics.LEDGER, "Captured", "ToppedUp", "HoldPlaced", "Released") as dropped:
        report = story.audit(kind="rebuild")["rebuild"]
    found = report["findings"]["fact_without_event"]
    assert found["count"] == len(dropped) == 4
    for event in dropped:
        of_hold = event["type"] in {"HoldPlaced", "Released"}
        assert (event["data"]["hold_id"] if of_hold else event["event_id"]) in str(found["first"])


def test_records_that_are_gone_from_the_attempts_topic_are_named(story: Story) -> None:
    """The last test: what a topic has lost does not come back."""
    remove_oldest(story.kafka, topics.ATTEMPTS, 3)
    report = story.audit(kind="rebuild")["rebuild"]
    assert "offsets 0 to" in report["findings"]["records_gone"]["first"][0]
    assert report["findings"]["posting_without_event"]["count"] >= 1
    assert report["findings"]["no_completion"]["count"] >= 1
    assert report["differences"]["buckets"]["count"] >= 1
