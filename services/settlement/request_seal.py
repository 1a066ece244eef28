"""What the seal says of one request: the entries of its transactions, and the proof that a signed checkpoint covers them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas.notes import read_checkpoint
from schemas.sealing import ORIGIN, TxnFacts, disclosed
from services.settlement.arrays import texts, uuids
from services.settlement.errors import UnavailableError
from services.settlement.refusals import utc_text
from services.settlement.seal_facts import Subject, read_facts
from services.settlement.seal_tree import SealTree
from services.settlement.statements import statements

Status = Literal["sealed", "pending", "none"]


@dataclass(frozen=True, slots=True)
class SealedTxn:
    """A transaction's place in the seal."""

    txn_id: UUID
    seq: int
    salt: bytes | None
    leaf: bytes
    prev: bytes


@dataclass(frozen=True, slots=True)
class RequestSeal:
    """`none`: no transaction, so nothing to seal. `pending`: not settled, or not all of it sealed under a signed checkpoint."""

    status: Status
    entries: Sequence[SealedTxn] = ()
    size: int = 0
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """The seal as every receipt shows it."""
        if self.status != "sealed":
            return {"status": self.status}
        entries = [{"txn_id": str(each.txn_id), "seq": each.seq, "leaf_hash": each.leaf.hex()} for each in self.entries]
        signed_at = read_checkpoint(self.note.partition("\n\n")[0] + "\n").at
        return {"status": "sealed", "entries": entries, "checkpoint_size": self.size, "checkpoint_at": utc_text(signed_at)}


def read_request_seal(
    connection: psycopg.Connection[TupleRow], request_id: UUID, holds: Sequence[UUID], *, settling: bool
) -> RequestSeal:
    """The seal of a request, as it stands. `settling`: a transaction of the request is still to come."""
    sql = statements("seal.sql")
    keys = texts([f"settle:{request_id}", *(f"expire:{hold}" for hold in holds)])
    rows = connection.execute(sql["request_entries"], {"idem_keys": keys, "holds": uuids(holds)}, binary=True).fetchall()
    if not rows:
        return RequestSeal("pending" if settling else "none")
    last = connection.execute(sql["last_checkpoint"]).fetchone()
    size, note = (last[0], last[1]) if last else (0, "")
    if settling or any(seq is None or seq >= size for _, seq, *_ in rows):
        return RequestSeal("pending")
    entries = [
        SealedTxn(txn_id, seq, salt and bytes(salt), bytes(leaf), bytes(prev) if seq else ORIGIN)
        for txn_id, seq, salt, leaf, prev in rows
    ]
    return RequestSeal("sealed", entries, size, note)


def proven(connection: psycopg.Connection[TupleRow], seal: RequestSeal) -> dict[str, Any]:
    """The seal as a signed receipt carries it: every entry with its proof, and the checkpoint. Raises UnavailableError."""
    if seal.status != "sealed":
        return {"status": seal.status}
    facts = read_facts(connection, [Subject(each.txn_id, None, None) for each in seal.entries])
    proofs = SealTree(connection).inclusion([each.seq for each in seal.entries], seal.size)
    entries = [
        {"entry": _shown(facts.get(Subject(each.txn_id, None, None)), each), "proof": [node.hex() for node in proof]}
        for each, proof in zip(seal.entries, proofs, strict=True)
    ]
    return {"status": "sealed", "entries": entries, "checkpoint": seal.note}


def _shown(facts: Any, sealed: SealedTxn) -> dict[str, Any]:
    if not isinstance(facts, TxnFacts):
        raise UnavailableError(f"transaction {sealed.txn_id} was sealed and is not in the ledger: its seal is being looked at")
    return disclosed(facts, seq=sealed.seq, prev=sealed.prev, salt=sealed.salt)
