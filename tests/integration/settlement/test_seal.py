"""What is committed is sealed once, in whatever order it commits, and the seal is one chain over restarts."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from schemas import sealing as entries
from schemas.envelope import now
from schemas.merkle import extends, includes
from schemas.notes import open_checkpoint
from services.settlement.checkpoint_file import CheckpointFile, read_checkpoints
from services.settlement.database import connect
from services.settlement.errors import BrokenSealError
from services.settlement.ledger_check import check
from services.settlement.seal_tree import SealTree
from services.settlement.sealer import Sealer
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for
from tests.integration.settlement.sealing import KEY, KEYS, promises, seal_all, sealing, violations

NOT_SEALED = {("hold", "refusal")}
"""Columns that no entry covers: a hold that ended has no refusal, and the table's own rule says so."""


def settle(ledger: Ledger, count: int, account: str = "a") -> None:
    """Requests that are charged and cost the operator something."""
    holds = [hold_for(account) for _ in range(count)]
    for hold in holds:
        ledger.held(hold)
    cost: dict[str, Any] = {"operator_cost_nano": 1000, "operator_cost_currency": "USD"}
    ledger.complete(*[completion(hold, attempts=[attempt_on(hold, **cost)]) for hold in holds])


def every_kind(ledger: Ledger) -> None:
    """A ledger with every kind of transaction: a capture, a release, an expiry, late usage, an overrun and a top-up."""
    settle(ledger, 3)
    released = hold_for("a")
    ledger.held(released)
    ledger.complete(completion(released, attempts=[], charged=None))
    late = hold_for("a", deadline_at=now() - timedelta(minutes=9))
    ledger.held(late)
    assert ledger.expire(late.hold_id) == 1
    ledger.complete(completion(late))
    small = hold_for("a", max_output_tokens=1)
    ledger.held(small)
    ledger.complete(completion(small))
    ledger.hold(hold_for("nobody"))


def sealer(ledger: Ledger, file: Path | None = None) -> Sealer:
    return Sealer(
        lambda: connect(ledger.url, statement_timeout_ms=TIMEOUT_MS),
        KEY,
        batch=500,
        interval_s=1,
        file=CheckpointFile(file) if file else None,
    )


def test_everything_that_was_committed_is_sealed_once(funded: Ledger) -> None:
    every_kind(funded)
    outside = seal_all(funded, batch=4)
    assert violations(funded, outside) == []
    assert funded.count("seal_pending") == 0
    assert funded.count("seal") == funded.count("txn") + funded.count("account") + funded.count("price_book")
    kinds = {row["kind"] for row in funded.rows("select kind from txn")}
    assert kinds == {"topup", "capture", "release", "expire", "late_usage"}
    broken = [str(finding) for finding in check(funded.connection, patience_s=1e9, seal=promises(outside)) if not finding.ok]
    assert broken == []


def test_what_commits_late_with_an_earlier_place_is_sealed_all_the_same(funded: Ledger) -> None:
    with connect(funded.url, statement_timeout_ms=TIMEOUT_MS) as slow:
        with slow.transaction():
            slow.execute(
                "insert into txn (id, kind, idem_key, detail) values (gen_random_uuid(), 'release', 'slow', '{}'::json)"
            )
            settle(funded, 2)
            seal_all(funded)
            sealed = funded.count("seal")
        assert violations(funded, patience_s=60) == []
        outside = seal_all(funded)
    assert funded.count("seal") == sealed + 1
    assert violations(funded, outside) == []


def test_the_sealer_waits_for_no_lock_of_holds_and_settlement(funded: Ledger) -> None:
    settle(funded, 2)
    with connect(funded.url, statement_timeout_ms=TIMEOUT_MS) as other, other.transaction():
        for table in ("bucket_balance", "hold", "envelope_window"):
            other.execute(sql.SQL("select 1 from {} for update").format(sql.Identifier(table)))
        seal_all(funded)
    assert violations(funded) == []


def test_what_is_sealed_between_two_looks_is_proven_by_the_later_checkpoint(funded: Ledger) -> None:
    settle(funded, 5)
    seal_all(funded, batch=3)
    settle(funded, 300)
    outside = seal_all(funded, batch=70)
    first, last = (open_checkpoint(each.note, KEYS) for each in (outside[0], outside[-1]))
    tree = SealTree(funded.connection)
    leaves = [row["hash"] for row in funded.rows("select hash from seal order by seq")]
    for seq, proof in enumerate(tree.inclusion(range(last.size), last.size)):
        assert includes(root=last.root, size=last.size, index=seq, leaf=leaves[seq], proof=proof)
    proof = tree.consistency(first.size, last.size)
    assert extends(old_root=first.root, old=first.size, root=last.root, size=last.size, proof=proof)


def test_the_nodes_that_are_kept_are_those_of_every_eighth_level(funded: Ledger) -> None:
    funded.connection.execute(
        "insert into txn (id, kind, idem_key, detail)"
        " select gen_random_uuid(), 'release', 'n' || n, '{}'::json from generate_series(1, 66000) n"
    )
    outside = seal_all(funded, batch=5000)
    size = funded.count("seal")
    found = {row["level"]: row["n"] for row in funded.rows("select level, count(*) as n from seal_node group by level")}
    assert found == {8: size >> 8, 16: size >> 16}
    assert violations(funded, outside) == []
    last = open_checkpoint(outside[-1].note, KEYS)
    leaf = funded.rows("select hash from seal where seq = 12345")[0]["hash"]
    (proof,) = SealTree(funded.connection).inclusion([12345], last.size)
    assert includes(root=last.root, size=last.size, index=12345, leaf=leaf, proof=proof)


def test_a_check_may_begin_at_a_checkpoint_that_was_checked_before(funded: Ledger) -> None:
    settle(funded, 4)
    first = seal_all(funded)[-1].size
    settle(funded, 4)
    outside = seal_all(funded)
    assert violations(funded, outside, since=first) == []
    assert violations(funded, outside, since=first - 1) != []
    bent = [published for published in outside if published.size != first]
    forged = type(outside[0])("file", first, outside[-1].note)
    assert violations(funded, [*bent, forged], since=first) != []


def test_only_one_sealer_runs_and_the_next_goes_on_where_it_ended(funded: Ledger, tmp_path: Path) -> None:
    settle(funded, 2)
    one, other = sealer(funded, tmp_path / "a"), sealer(funded, tmp_path / "b")
    one.seal()
    settle(funded, 2)
    other.seal()
    assert funded.count("seal_pending") > 0
    one.close()
    other.seal()
    other.close()
    assert funded.count("seal_pending") == 0
    outside = [*read_checkpoints(tmp_path / "b")]
    assert [size for size, _ in outside] == [
        row["size"] for row in funded.rows("select size from seal_checkpoint order by size")
    ]
    assert violations(funded) == []


def test_a_file_that_a_crash_left_behind_is_completed(funded: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "checkpoints"
    kept = []
    for _ in range(3):
        settle(funded, 1)
        running = sealer(funded, file)
        running.seal()
        running.close()
        kept.append(file.read_bytes())
    for crashed in (kept[0], kept[1] + kept[2][len(kept[1]) :][:40], kept[1][:-1], b'{"si', b""):
        file.write_bytes(crashed)
        running = sealer(funded, file)
        running.seal()
        running.close()
        assert file.read_bytes() == kept[2]


def test_a_ledger_that_lost_what_it_published_is_not_sealed_on(funded: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints"
    settle(funded, 1)
    running = sealer(funded, file)
    running.seal()
    running.close()
    funded.as_owner("delete from seal where seq > 1")
    settle(funded, 1)
    running = sealer(funded, file)
    with pytest.raises(BrokenSealError, match="were published"):
        running.seal()
    running.close()
    assert funded.count("seal_pending") > 0


def test_what_was_sealed_and_not_signed_is_signed_at_the_next_look(funded: Ledger) -> None:
    settle(funded, 5)
    with sealing(funded) as store:
        store.seal(2, sign=False)
    assert funded.count("seal_checkpoint") == 0
    funded.connection.execute("delete from seal_pending")
    with sealing(funded) as store:
        assert store.behind
        store.seal(2, sign=False)
    assert funded.count("seal_checkpoint") == 1


def test_a_row_that_waits_twice_or_for_nothing_is_found_and_holds_up_nobody(funded: Ledger) -> None:
    settle(funded, 2)
    seal_all(funded)
    funded.connection.execute("insert into seal_pending (txn) select txn from seal where txn is not null limit 1")
    assert violations(funded) != []
    funded.connection.execute("insert into seal_pending (txn) values (gen_random_uuid())")
    settle(funded, 2)
    outside = seal_all(funded)
    assert funded.count("seal_pending") == 1
    assert [found["what"] for found in violations(funded, outside)] == ["waits for its seal and is not there"]


def test_what_waits_too_long_is_found(funded: Ledger) -> None:
    assert {found["what"] for found in violations(funded)} == {"has waited for its seal too long"}
    assert violations(funded, patience_s=3600) == []


def test_sealing_beside_settlement_skips_nothing(funded: Ledger) -> None:
    done = threading.Event()

    def run() -> None:
        with sealing(funded) as store:
            while not done.is_set():
                store.seal(3, sign=True)

    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(15):
        settle(funded, 4)
    done.set()
    thread.join()
    assert violations(funded, seal_all(funded)) == []


@pytest.mark.parametrize(
    ("table", "sealed"),
    [
        ("txn", entries.TXN),
        ("posting", entries.POSTING),
        ("balance_move", entries.MOVE),
        ("hold", entries.HOLD),
        ("receipt", entries.RECEIPT),
        ("account", entries.ACCOUNT),
        ("price_book", entries.PRICE_BOOK),
    ],
)
def test_every_column_of_what_is_sealed_is_in_its_entry(ledger: Ledger, table: str, sealed: tuple[str, ...]) -> None:
    rows = ledger.rows(
        "select column_name from information_schema.columns where table_schema = current_schema() and table_name = %s", table
    )
    columns = {row["column_name"] for row in rows} - {name for owner, name in NOT_SEALED if owner == table}
    shown = {name.removesuffix("_us").removesuffix("_sha256") for name in sealed} | set(sealed)
    # The transaction's own id stands at the head of its entry.
    implied = {"txn"} if table in {"posting", "balance_move", "receipt"} else set()
    renamed = {"amount": "amount_nano"} if table == "posting" else {}
    assert {renamed.get(name, name) for name in columns} - implied <= shown
