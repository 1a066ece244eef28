"""The sealer's transaction: entries get numbers and hashes, the tree its nodes, the world a checkpoint. All or nothing."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from psycopg.rows import TupleRow

from schemas import topics
from schemas.ledger import OPERATOR, CheckpointPublished, CheckpointPublishedData
from schemas.merkle import Frontier, Subtree, leaf_hash
from schemas.notes import Checkpoint, SigningKey
from schemas.sealing import ORIGIN, SALT_BYTES
from services.settlement.arrays import Column, plain, uuids
from services.settlement.entries import Outbox
from services.settlement.seal_facts import Facts, Subject, entry, hides, read_facts
from services.settlement.seal_tree import KEPT_LEVELS, SealTree
from services.settlement.statements import statements

log = structlog.get_logger(__name__)
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Sealed:
    """One round: how many entries were sealed, whether more wait, and the checkpoint that was signed, if one was."""

    entries: int
    more: bool
    checkpoint: Checkpoint | None


@dataclass(slots=True)
class _Rows:
    """What a round writes."""

    done: list[int] = field(default_factory=list)
    seals: list[tuple[int, Subject, str | None, str]] = field(default_factory=list)
    nodes: list[tuple[Subtree, str]] = field(default_factory=list)


class SealStore:
    """Seals over one connection, which must be the only one that does. After an error it must be made anew."""

    def __init__(self, connection: psycopg.Connection[TupleRow], key: SigningKey) -> None:
        self._connection = connection
        self._key = key
        self._sql = statements("seal.sql")
        last = self._run("last_seal").fetchone()
        self._prev = bytes(last[1]) if last else ORIGIN
        self._frontier: Frontier = SealTree(connection).frontier(last[0] + 1 if last else 0)
        found = self._run("last_checkpoint").fetchone()
        self._promised = int(found[0]) if found else 0

    @property
    def size(self) -> int:
        """How many entries are sealed."""
        return self._frontier.size

    @property
    def behind(self) -> bool:
        """Whether entries are sealed that no checkpoint covers."""
        return self._promised < self.size

    def seal(self, limit: int, *, sign: bool) -> Sealed:
        """Seal what waits, `limit` at most. A checkpoint is signed if `sign` says so or nothing more waits."""
        with self._connection.transaction():
            pending = self._run("pending", limit=limit).fetchall()
            more = len(pending) == limit
            rows = self._entries(pending) if pending else _Rows()
            checkpoint = self._checkpoint() if self.behind and (sign or not more) else None
            self._write(rows, checkpoint)
        if checkpoint:
            self._promised = checkpoint.size
        return Sealed(len(rows.seals), more, checkpoint)

    def checkpoints_after(self, size: int) -> Sequence[tuple[int, str]]:
        """The next checkpoints as they were signed, some at a time."""
        return self._run("checkpoints_after", size=size, limit=PAGE).fetchall()

    def _entries(self, pending: Sequence[TupleRow]) -> _Rows:
        twice = {row[0] for row in self._run("sealed_already", ids=plain([row[0] for row in pending]))}
        waiting = {row[0]: Subject(*row[1:]) for row in pending if row[0] not in twice}
        facts = read_facts(self._connection, waiting.values())
        rows = _Rows(done=list(twice))
        for row_id, subject in waiting.items():
            if subject in facts:
                self._add(rows, subject, facts[subject])
                rows.done.append(row_id)
            else:
                # Only tampering does this. It stays in the queue, where the check finds it; the rest is sealed.
                log.error("seal_without_subject", subject=str(subject))
        return rows

    def _add(self, rows: _Rows, subject: Subject, facts: Facts) -> None:
        seq = self._frontier.size
        salt = secrets.token_bytes(SALT_BYTES) if hides(facts) else None
        leaf = leaf_hash(entry(facts, subject, seq=seq, prev=self._prev, salt=salt))
        for subtree, node in self._frontier.append(leaf):
            if subtree.level and subtree.level % KEPT_LEVELS == 0:
                rows.nodes.append((subtree, node.hex()))
        rows.seals.append((seq, subject, salt.hex() if salt else None, leaf.hex()))
        self._prev = leaf

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(size=self._frontier.size, root=self._frontier.root(), at=datetime.now(UTC))

    def _write(self, rows: _Rows, checkpoint: Checkpoint | None) -> None:
        if rows.seals:
            self._run("write_seals", **_seal_columns(rows))
        if rows.nodes:
            self._run("write_nodes", **_node_columns(rows))
        if rows.done:
            self._run("no_longer_pending", ids=plain(rows.done))
        if checkpoint:
            note = checkpoint.signed(self._key)
            self._run("write_checkpoint", size=checkpoint.size, note=note)
            outbox = Outbox()
            event = _published(checkpoint, note, self._key)
            outbox.add(topics.LEDGER, OPERATOR, event.type, event.event_id, event.to_json().decode())
            self._connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())

    def _run(self, name: str, **parameters: Any) -> psycopg.Cursor[TupleRow]:
        return self._connection.execute(self._sql[name], parameters, binary=True)


def _seal_columns(rows: _Rows) -> dict[str, Column]:
    return {
        "seqs": plain([seq for seq, *_ in rows.seals]),
        "txns": uuids([subject.txn for _, subject, *_ in rows.seals]),
        "accounts": plain([subject.account for _, subject, *_ in rows.seals]),
        "books": plain([subject.price_book for _, subject, *_ in rows.seals]),
        "salts": plain([salt for *_, salt, _ in rows.seals]),
        "hashes": plain([leaf for *_, leaf in rows.seals]),
    }


def _node_columns(rows: _Rows) -> dict[str, str]:
    return {
        "levels": plain([subtree.level for subtree, _ in rows.nodes]),
        "numbers": plain([subtree.number for subtree, _ in rows.nodes]),
        "hashes": plain([node for _, node in rows.nodes]),
    }


def _published(checkpoint: Checkpoint, note: str, key: SigningKey) -> CheckpointPublished:
    data = CheckpointPublishedData(
        size=checkpoint.size, root=checkpoint.root.hex(), key_id=key.public.id, note=note, sealed_at=checkpoint.at
    )
    return CheckpointPublished(account_id=OPERATOR, data=data)
