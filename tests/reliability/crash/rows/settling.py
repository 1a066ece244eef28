"""Rows inside settlement: in its transaction, after it, a zombie's, and the sweeper's against the worker's."""

from __future__ import annotations

from tests.reliability.crash.clients import Asked
from tests.reliability.crash.gates import Gate, Message
from tests.reliability.crash.processes import Process
from tests.reliability.crash.round import Round, Row

SETTLE = "settlement-worker/settle"


def commits_receipts(message: Message) -> bool:
    """The COMMIT of a settlement transaction that posts something, or its answer."""
    return message.what == "COMMIT" and message.who == SETTLE and b"insert into receipt" in message.story


def begins_to_post(message: Message) -> bool:
    """The first statement of a settlement transaction, after the batch was decided from what its worker had read."""
    return message.what.startswith("update consumer_offset") and b"from inbox where event_id" in message.story


def has_moved_offsets(message: Message) -> bool:
    """The second one: the offsets' rows are locked now."""
    return message.what.startswith("insert into inbox")


async def inside_the_transaction(round_: Round) -> None:
    """Variants: the worker dies waiting for a bucket, everything else written; or with its COMMIT not yet at Postgres."""
    rig = round_.rig
    asked = round_.ask(1, stream=round_.turn % 4 < 2, latency=300)
    await round_.held(asked)
    if round_.turn % 2:
        gate = rig.worker_to_postgres.gate("up", commits_receipts)
        await gate.reached()
        await rig.ledger.until_session(SETTLE, wait_event_type="Client", has_posted=True)
        await rig.worker.kill9()
        gate.sever()
    else:
        account = (await rig.ledger.holds(each.probe for each in asked))[asked[0].probe][0]["account"]
        async with rig.ledger.locked_bucket(account):
            await rig.ledger.until_session(SETTLE, wait_event_type="Lock", has_posted=True)
            await rig.worker.kill9()
    await rig.ledger.until_gone(SETTLE)
    await round_.answered(asked)
    [request_id] = await round_.request_ids(asked)
    await rig.topics.catch_up()
    [completed] = rig.topics.completed(request_id)
    assert await rig.ledger.receipts([request_id]) == {}
    assert completed["event_id"] not in await rig.ledger.inbox()
    await round_.held(asked)
    await round_.replace(rig.worker)
    round_.audit.expect(asked, "settled")


async def after_the_commit(round_: Round) -> None:
    """Variants: the worker dies before Postgres' answer reaches it; or with its commit not yet at Kafka."""
    rig = round_.rig
    if round_.turn % 2:
        gate = rig.worker_to_kafka.gate("up", lambda message: message.what == "OffsetCommit")
    else:
        gate = rig.worker_to_postgres.gate("down", commits_receipts)
    asked = round_.ask(1)
    await round_.answered(asked)
    ids = await round_.request_ids(asked)
    await round_.until(lambda: _settled(round_, ids), "the transaction is committed")
    await gate.reached()
    offsets, advised = await rig.ledger.offsets(), await rig.topics.committed("settlement")
    assert any(offset > advised.get(partition, 0) for partition, offset in offsets.items())
    await rig.worker.kill9()
    gate.sever()
    await round_.replace(rig.worker)
    await round_.until(lambda: _advised(round_), "Kafka's group catches up with the ledger")
    round_.audit.expect(asked, "settled")


async def _settled(round_: Round, request_ids: list[str]) -> bool:
    return set(await round_.rig.ledger.receipts(request_ids)) == set(request_ids)


async def _advised(round_: Round) -> bool:
    advised = await round_.rig.topics.committed("settlement")
    return all(advised.get(partition, 0) >= offset for partition, offset in (await round_.rig.ledger.offsets()).items())


async def zombie(round_: Round) -> None:
    """A worker is frozen with its transaction on its way; a successor settles; the zombie wakes, and is killed in the end.

    Variants: a successor of the same name, which takes over at once; one of another name, which waits for the leases to run
    out; and a zombie that has locked the offsets already, until Postgres loses patience with its transaction.
    """
    rig = round_.rig
    variant = (0, 1, 2, 0, 1)[round_.turn % 5]
    gate = rig.worker_to_postgres.gate("up", has_moved_offsets if variant == 2 else begins_to_post, once=True)
    asked = round_.ask(1, latency=200)
    await round_.answered(asked)
    await gate.reached()
    undead = rig.worker
    undead.freeze()
    ids = await round_.request_ids(asked)
    assert await rig.ledger.receipts(ids) == {}
    rig.worker = rig.new_worker(**({"TOLLBOOK_WORKER_NAME": f"other-{round_.turn}"} if variant == 1 else {}))
    rig.worker.begin()
    await round_.until(lambda: _settled(round_, ids), "the successor has settled")
    postings = await _postings(round_, ids[0])
    await _wake(round_, undead, gate)
    assert await _postings(round_, ids[0]) == postings
    await undead.kill9()
    await rig.worker.ready()
    round_.audit.expect(asked, "settled")


async def _wake(round_: Round, undead: Process, gate: Gate) -> None:
    """The zombie's transaction arrives at last; wait until its log says that it was refused."""
    before = len(undead.said())
    gate.open()
    undead.thaw()
    refusals = ('"lease_lost"', '"settlement_waits"')
    await round_.until(lambda: any(each in undead.said()[before:] for each in refusals), "the zombie is refused")
    assert undead.alive, "a refused worker waits for leases, it does not end"


async def _postings(round_: Round, request_id: str) -> int:
    [row] = await round_.rig.ledger.rows(
        "select count(*) as n from settlement.posting p join settlement.txn t on t.id = p.txn"
        " where t.request_id::text = %(id)s",
        id=request_id,
    )
    return int(row["n"])


async def sweeper_against_capture(round_: Round) -> None:
    """The killed router's last packet arrives when its hold's time is over, and both have begun to end the hold.

    Variants: the sweeper waits first for the bucket; the worker captures while the sweeper stands before its transaction; the
    worker's process, which both belong to, dies while both wait.
    """
    rig = round_.rig
    packet = rig.router_to_kafka.gate("up", lambda m: m.what == "Produce" and b"RequestCompleted" in m.story)
    asked = round_.ask(1, stream=True)
    await packet.reached()
    await rig.router.kill9()
    if round_.turn % 3 == 1:
        await _capture_first(round_, asked, packet)
    else:
        await _both_wait(round_, asked, packet, worker_dies=round_.turn % 3 == 2)
    await round_.replace(rig.router)
    await round_.finish(asked)
    ids = await round_.request_ids(asked)
    await round_.until(lambda: _settled(round_, ids), "the completion is settled")
    [hold] = (await rig.ledger.holds([asked[0].probe]))[asked[0].probe]
    round_.audit.expect(asked, "late" if hold["state"] == "EXPIRED" else "settled")


async def _both_wait(round_: Round, asked: list[Asked], packet: Gate, *, worker_dies: bool) -> None:
    """The sweeper and the worker are within their transactions and wait for the same bucket."""
    rig = round_.rig
    [hold] = (await rig.ledger.holds([asked[0].probe]))[asked[0].probe]
    async with rig.ledger.locked_bucket(hold["account"]):
        await rig.ledger.until_session("settlement-worker/sweep", wait_event_type="Lock")
        packet.open()
        await rig.ledger.until_session(SETTLE, wait_event_type="Lock", has_posted=True)
        if worker_dies:
            await rig.worker.kill9()
    if worker_dies:
        await rig.ledger.until_gone(SETTLE)
        await round_.held(asked)
        await round_.replace(rig.worker)


async def _capture_first(round_: Round, asked: list[Asked], packet: Gate) -> None:
    """The sweeper has found the hold overdue and made sure of the end offsets: then the worker captures."""
    rig = round_.rig
    sweeper = rig.worker_to_postgres.gate("up", lambda message: message.what.startswith("select distinct account from hold"))
    await sweeper.reached()
    await round_.held(asked)
    packet.open()
    ids = await round_.request_ids(asked)
    await round_.until(lambda: _settled(round_, ids), "the worker has captured")
    sweeper.open()


ROWS = (
    Row(
        name="inside the settlement transaction",
        kills="worker",
        rule="full rollback: no receipt, no inbox row, the hold open; the successor settles",
        play=inside_the_transaction,
        variants=2,
    ),
    Row(
        name="after the commit, before the Kafka commit",
        kills="worker",
        rule="the replay is a no-op; Kafka's group catches up",
        play=after_the_commit,
        variants=2,
    ),
    Row(
        name="zombie worker",
        kills="worker (frozen, replaced, woken, killed)",
        rule="lease and offset compare-and-set reject it: no posting more",
        play=zombie,
        variants=3,
    ),
    Row(
        name="sweeper against capture",
        kills="router, every third time the worker too",
        rule="exactly one wins: captured, or expired with the late usage written off",
        play=sweeper_against_capture,
        variants=3,
    ),
)
