"""The sealed tree as Postgres keeps it: every leaf, and the nodes of every eighth level. What lies between is computed."""

from collections.abc import Iterable, Sequence

import psycopg
from psycopg.rows import TupleRow

from schemas.merkle import Frontier, Subtree, consistency_ranges, cover, frontier, inclusion_ranges, prove
from services.settlement.arrays import plain
from services.settlement.errors import BrokenSealError
from services.settlement.statements import statements

KEPT_LEVELS = 8
"""Nodes are kept of the levels 8, 16, 24, …"""


class SealTree:
    """Reads of the tree over one connection; a proof is two statements, however large the tree is."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def frontier(self, size: int) -> Frontier:
        """The right edge of the first `size` entries. Raises BrokenSealError."""
        found = self._read(cover(0, size))
        return frontier(size, found.__getitem__)

    def inclusion(self, indices: Sequence[int], size: int) -> list[list[bytes]]:
        """The proof that each of the entries is among the first `size`. Raises BrokenSealError."""
        paths = [inclusion_ranges(index, size) for index in indices]
        found = self._read([subtree for path in paths for begin, end in path for subtree in cover(begin, end)])
        return [prove(path, found.__getitem__) for path in paths]

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the first `size` entries begin with the first `old`. Raises BrokenSealError."""
        path = consistency_ranges(old, size)
        found = self._read([subtree for begin, end in path for subtree in cover(begin, end)])
        return prove(path, found.__getitem__)

    def _read(self, subtrees: Iterable[Subtree]) -> dict[Subtree, bytes]:
        wanted = list(dict.fromkeys(subtrees))
        ranges = [_kept_range(subtree) for subtree in wanted]
        kept = [_Range(*each) for each in ranges]
        leaves, nodes = [each for each in kept if each.level == 0], [each for each in kept if each.level > 0]
        self._fill(leaves, "leaf_hashes")
        self._fill(nodes, "node_hashes")
        return {subtree: each.root() for subtree, each in zip(wanted, kept, strict=True)}

    def _fill(self, ranges: Sequence["_Range"], statement: str) -> None:
        if not ranges:
            return
        parameters = {
            "levels": plain(each.level for each in ranges),
            "starts": plain(each.first for each in ranges),
            "ends": plain(each.past for each in ranges),
        }
        if statement == "leaf_hashes":
            del parameters["levels"]
        for position, found in self._connection.execute(statements("seal.sql")[statement], parameters, binary=True):
            ranges[position - 1].hashes.append(bytes(found))


class _Range:
    """Neighbouring nodes of a level that is kept; together they make one subtree."""

    def __init__(self, level: int, first: int, past: int) -> None:
        self.level = level
        self.first = first
        self.past = past
        self.hashes: list[bytes] = []

    def root(self) -> bytes:
        if len(self.hashes) != self.past - self.first:
            raise BrokenSealError(
                f"of the hashes {self.first} to {self.past - 1} of level {self.level} the seal has {len(self.hashes)}"
            )
        folded = Frontier()
        for each in self.hashes:
            for _ in folded.append(each):
                pass
        return folded.root()


def _kept_range(subtree: Subtree) -> tuple[int, int, int]:
    """The level that is kept, and the nodes of it from … up to …, that make up the subtree."""
    level = subtree.level // KEPT_LEVELS * KEPT_LEVELS
    width = 1 << (subtree.level - level)
    return level, subtree.number * width, (subtree.number + 1) * width
