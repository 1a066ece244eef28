"""The Merkle tree of RFC 6962 (RFC 9162 section 2.1) over SHA-256: roots, proofs, and how to check them. Pure.

A tree is known by the hashes of its leaves, which are numbered from 0. `Subtree` names the perfect subtree of 2^level leaves
whose first leaf is number * 2^level; every proof and every root is made of such subtrees, so that whoever keeps some of them
can prove without reading every leaf.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

EMPTY_ROOT = sha256().digest()


class Subtree(NamedTuple):
    """A perfect subtree: 2^level leaves, the first of them at number * 2^level."""

    level: int
    number: int


HashOf = Callable[[Subtree], bytes]


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: the roots of its perfect subtrees, largest first. All that appending needs."""

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> Iterator[tuple[Subtree, bytes]]:
        """Add a leaf's hash. Gives every subtree that it completes, the leaf itself first; must be run to its end."""
        number, level = self.size, 0
        self.size += 1
        node = leaf
        yield Subtree(0, number), node
        while number & 1:
            node = node_hash(self.hashes.pop(), node)
            number, level = number >> 1, level + 1
            yield Subtree(level, number), node
        self.hashes.append(node)

    def root(self) -> bytes:
        """The root over all leaves so far."""
        return _folded(self.hashes)


def frontier(size: int, hash_of: HashOf) -> Frontier:
    """The right edge of the tree over the first `size` leaves."""
    return Frontier(size, [hash_of(subtree) for subtree in cover(0, size)])


def cover(begin: int, end: int) -> list[Subtree]:
    """The perfect subtrees that make up the leaves from `begin` up to `end`, where `begin` starts a subtree of that size."""
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append(Subtree(level, begin >> level))
        begin += 1 << level
    return found


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots prove leaf `index` of `size`, in the order of the proof. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    begin, end = 0, size
    path: list[tuple[int, int]] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def consistency_ranges(old: int, size: int) -> list[tuple[int, int]]:
    """The ranges whose roots prove that the tree of `size` leaves extends that of the first `old`. Raises ValueError."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {size} does not extend one of {old}")
    begin, end = 0, size
    path: list[tuple[int, int]] = []
    whole = True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin, whole = middle, False
    return ([] if whole else [(begin, end)]) + path[::-1]


def prove(ranges: Sequence[tuple[int, int]], hash_of: HashOf) -> list[bytes]:
    """The proof: the root over each range."""
    return [_folded([hash_of(subtree) for subtree in cover(begin, end)]) for begin, end in ranges]


def includes(*, root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that `leaf` is the hash of leaf `index` in the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last = index, size - 1
    node = leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def extends(*, old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `size` leaves begins with the tree of `old` (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    position, last = old - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, node)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The root over neighbouring perfect subtrees, largest first."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root
