"""I11: everything that is sealed is still what was sealed, and nothing is missing, neither here nor from what was published."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from schemas.merkle import Frontier, leaf_hash
from schemas.notes import Checkpoint, Keys, NoteError, open_checkpoint, read_checkpoint
from schemas.sealing import ORIGIN
from services.settlement.arrays import plain
from services.settlement.errors import BrokenSealError
from services.settlement.seal_facts import Subject, entry, hides, read_facts
from services.settlement.seal_tree import KEPT_LEVELS, SealTree
from services.settlement.statements import statements

CHUNK = 2000
REPORTED = 1000
"""Violations that are listed; the rest is counted only by what they break further on."""
LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint as it is kept somewhere: in the ledger, in the file, on the topic."""

    source: str
    size: int
    note: str


Violation = dict[str, object]


@dataclass(slots=True)
class _Walk:
    """One pass over the tree."""

    promises: dict[int, list[Published]]
    keys: Keys | None
    frontier: Frontier
    prev: bytes
    found: list[Violation] = field(default_factory=list)

    def report(self, subject: str, what: str) -> None:
        if len(self.found) < REPORTED:
            self.found.append({"subject": subject, "what": what})


def check_seal(
    connection: psycopg.Connection[TupleRow],
    *,
    patience_s: float,
    outside: Sequence[Published] = (),
    keys: Keys | None = None,
    since: int = 0,
) -> list[Violation]:
    """Every violation, from one snapshot: call it in a transaction that is repeatable read.

    `outside` are checkpoints from beyond the database, read before the snapshot began. Without `keys` no signature is
    checked. Entries before `since`, the size of a checkpoint, are taken as checked: what they were made from is not read.
    """
    connection.execute(statements("seal_check.sql")["plan_freely"])
    walk = _begin(connection, outside, keys, since)
    for rows in _chunks(connection, since):
        _chunk(connection, walk, rows)
    _ends(connection, walk, since)
    strays = connection.execute(statements("seal_check.sql")["strays"], {"patience_s": patience_s}).fetchmany(REPORTED)
    return walk.found + [{"subject": subject, "what": what} for what, subject in strays]


def _begin(connection: psycopg.Connection[TupleRow], outside: Sequence[Published], keys: Keys | None, since: int) -> _Walk:
    promises: dict[int, list[Published]] = {}
    for each in (*_kept(connection, since), *outside):
        promises.setdefault(each.size, []).append(each)
    walk = _Walk(promises, keys, Frontier(), ORIGIN)
    if since:
        try:
            walk.frontier = SealTree(connection).frontier(since)
            walk.prev = _hash_at(connection, since - 1)
        except BrokenSealError as error:
            walk.report("seal", str(error))
        else:
            if since not in promises:
                walk.report("seal", f"no checkpoint covers exactly {since} entries: the check cannot begin there")
            _promise(walk)
    return walk


def _chunks(connection: psycopg.Connection[TupleRow], since: int) -> Iterator[list[TupleRow]]:
    seq = since
    while rows := connection.execute(
        statements("seal_check.sql")["entries"], {"seq": seq, "limit": CHUNK}, binary=True
    ).fetchall():
        yield rows
        seq = rows[-1][0] + 1


def _chunk(connection: psycopg.Connection[TupleRow], walk: _Walk, rows: Sequence[TupleRow]) -> None:
    subjects = [Subject(*row[1:4]) for row in rows]
    facts = read_facts(connection, subjects)
    nodes: list[tuple[int, int, str]] = []
    for (seq, _, _, _, salt, kept), subject in zip(rows, subjects, strict=True):
        if seq != walk.frontier.size:
            walk.report(f"entry {seq}", f"follows entry {walk.frontier.size - 1}: entries are missing")
        if subject not in facts:
            walk.report(str(subject), f"was sealed as entry {seq} and is not there")
        elif leaf_hash(entry(facts[subject], subject, seq=seq, prev=walk.prev, salt=_bytes(salt))) != kept:
            walk.report(str(subject), f"is not what was sealed as entry {seq}")
        elif salt is not None and not hides(facts[subject]):
            walk.report(f"entry {seq}", "has a salt and hides nothing")
        # What is kept goes on: one changed row is reported once, and what was promised tells whether the seal was changed.
        walk.prev = bytes(kept)
        for subtree, node in walk.frontier.append(walk.prev):
            if subtree.level and subtree.level % KEPT_LEVELS == 0:
                nodes.append((subtree.level, subtree.number, node.hex()))
        _promise(walk)
    _nodes(connection, walk, nodes)


def _promise(walk: _Walk) -> None:
    """Compare the tree as it stands with every checkpoint of its size."""
    promises = walk.promises.pop(walk.frontier.size, None)
    if promises is None:
        return
    root = walk.frontier.root()
    for note in dict.fromkeys(each.note for each in promises):
        sources = [each.source for each in promises if each.note == note]
        name = f"checkpoint {walk.frontier.size} ({', '.join(sources)})"
        try:
            checkpoint = _open(note, walk.keys)
        except NoteError as error:
            walk.report(name, str(error))
            continue
        if (checkpoint.size, checkpoint.root) != (walk.frontier.size, root):
            walk.report(name, "is not the root of what the ledger holds")
        if LEDGER not in sources:
            walk.report(name, "was published and is not in the ledger")


def _open(note: str, keys: Keys | None) -> Checkpoint:
    return read_checkpoint(note.partition("\n\n")[0] + "\n") if keys is None else open_checkpoint(note, keys)


def _nodes(connection: psycopg.Connection[TupleRow], walk: _Walk, nodes: Sequence[tuple[int, int, str]]) -> None:
    if nodes:
        levels, numbers, hashes = zip(*nodes, strict=True)
        parameters = {"levels": plain(levels), "numbers": plain(numbers), "hashes": plain(hashes)}
        for level, number in connection.execute(statements("seal_check.sql")["wrong_nodes"], parameters):
            walk.report(f"node {number} of level {level}", "is not the hash of what is below it")


def _ends(connection: psycopg.Connection[TupleRow], walk: _Walk, since: int) -> None:
    """What must not be left over: promises of more than there is, and nodes over nothing."""
    size = walk.frontier.size
    for promised, each in sorted(walk.promises.items()):
        if promised > since:
            sources = ", ".join(dict.fromkeys(published.source for published in each))
            walk.report(
                f"checkpoint {promised} ({sources})", f"covers more than the {size} entries that there are, or no entry"
            )
    expected = sum(size >> level for level in range(KEPT_LEVELS, 64, KEPT_LEVELS))
    row = connection.execute(statements("seal_check.sql")["nodes"]).fetchone()
    if row is None or row[0] != expected:
        walk.report("nodes", f"there are {row[0] if row else 0} of them, and {expected} are due over {size} entries")


def _kept(connection: psycopg.Connection[TupleRow], since: int) -> Iterator[Published]:
    after = since - 1
    while rows := connection.execute(statements("seal.sql")["checkpoints_after"], {"size": after, "limit": CHUNK}).fetchall():
        yield from (Published(LEDGER, size, note) for size, note in rows)
        after = rows[-1][0]


def _hash_at(connection: psycopg.Connection[TupleRow], seq: int) -> bytes:
    row: Any = connection.execute(statements("seal_check.sql")["entries"], {"seq": seq, "limit": 1}).fetchone()
    if row is None or row[0] != seq:
        raise BrokenSealError(f"entry {seq} is not there")
    return bytes(row[5])


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
