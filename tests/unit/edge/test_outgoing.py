"""Events on their way out: bounded, in order, on the partition that the default partitioner would choose."""

from uuid import uuid4

from aiokafka.partitioner import DefaultPartitioner

from schemas import topics
from schemas.registry import decode
from schemas.requests import RequestRejected
from services.edge import events
from services.edge.outgoing import Outgoing, Partitions, Waiting, ingress_batch
from tests.unit.edge.test_context import LABELS, call
from tests.unit.edge.values import caller


def event(account_id: str = "acc_1") -> RequestRejected:
    return events.rejected(call(LABELS), caller(account_id=account_id), status=400, code="x", message="m")


def test_new_work_is_refused_before_refusals_find_no_room() -> None:
    waiting = Waiting(10)
    for _ in range(9):
        assert not waiting.full
        assert waiting.put(event())
    assert waiting.full
    assert waiting.put(event())
    assert not waiting.put(event())
    assert len(waiting) == 10


def test_the_oldest_events_leave_first() -> None:
    waiting, put = Waiting(10), [event() for _ in range(5)]
    for one in put:
        waiting.put(one)
    assert [out.event for out in waiting.take(2)] == put[:2]
    assert [out.event for out in waiting.take(9)] == put[2:]


def test_an_account_lies_where_the_default_partitioner_puts_it() -> None:
    partitions, everyone = Partitions(), list(range(4))
    for account in [f"acc_{uuid4()}" for _ in range(200)]:
        expected = DefaultPartitioner()(account.encode(), everyone, everyone)
        assert partitions.of(account, 4) == partitions.of(account, 4) == expected


def test_a_topic_that_grew_is_partitioned_anew() -> None:
    partitions = Partitions()
    assert {partitions.of("acc_1", count) for count in (1,)} == {0}
    assert partitions.of("acc_1", 64) == DefaultPartitioner()(b"acc_1", list(range(64)), list(range(64)))


def test_a_split_keeps_every_event_and_each_accounts_order() -> None:
    sent = [Outgoing.of(event(f"acc_{number % 7}")) for number in range(50)]
    split = Partitions().split(sent, 4)
    assert sorted(id(out) for some in split.values() for out in some) == sorted(id(out) for out in sent)
    for some in split.values():
        assert [out for out in sent if out in some] == some


def test_the_ingress_gets_the_same_bytes_as_kafka() -> None:
    out = Outgoing.of(event())
    sent = ingress_batch(topics.REQUESTS, [out]).events[0]
    assert (sent.topic, sent.key, sent.type, sent.event_id) == (topics.REQUESTS, "acc_1", "RequestRejected", out.event.event_id)
    assert decode(sent.topic, sent.type, sent.value.encode()) == out.event
