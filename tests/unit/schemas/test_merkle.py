"""The tree against RFC 6962's reference values and against an independent library."""

from hashlib import sha256
from typing import Any

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.merkle import (
    EMPTY_ROOT,
    Frontier,
    Subtree,
    consistency_ranges,
    extends,
    frontier,
    includes,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    prove,
)

# The leaves and roots of Certificate Transparency's own reference tests.
REFERENCE_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
REFERENCE_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(str(number).encode()) for number in range(300)]


def subtree_hash(subtree: Subtree) -> bytes:
    """A subtree's hash by the definition, without a frontier."""
    if subtree.level == 0:
        return LEAVES[subtree.number]
    left, right = (Subtree(subtree.level - 1, 2 * subtree.number + side) for side in (0, 1))
    return node_hash(subtree_hash(left), subtree_hash(right))


def root_of(size: int) -> bytes:
    return frontier(size, subtree_hash).root()


def subproof(old: int, begin: int, end: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF as RFC 6962 (2.1.2) writes it down, over the leaves from `begin` to `end`."""
    size = end - begin
    if old == size:
        return [] if whole else [range_root(begin, end)]
    k = 1
    while 2 * k < size:
        k *= 2
    if old <= k:
        return [*subproof(old, begin, begin + k, whole=whole), range_root(begin + k, end)]
    return [*subproof(old - k, begin + k, end, whole=False), range_root(begin, begin + k)]


def range_root(begin: int, end: int) -> bytes:
    """MTH as RFC 6962 (2.1) writes it down."""
    if end - begin == 1:
        return LEAVES[begin]
    k = 1
    while 2 * k < end - begin:
        k *= 2
    return node_hash(range_root(begin, begin + k), range_root(begin + k, end))


def library_tree(size: int) -> pymerkle.InmemoryTree:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append_entry(str(number).encode())
    return tree


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == sha256(b"").digest()


def test_roots_are_those_of_the_reference() -> None:
    growing = Frontier()
    roots = []
    for leaf in REFERENCE_LEAVES:
        list(growing.append(leaf_hash(bytes.fromhex(leaf))))
        roots.append(growing.root().hex())
    assert tuple(roots) == REFERENCE_ROOTS


def test_appending_names_every_subtree_that_it_completes_once() -> None:
    growing = Frontier()
    named = [each for leaf in LEAVES for each in growing.append(leaf)]
    assert len({subtree for subtree, _ in named}) == len(named)
    assert {subtree for subtree, _ in named} == {
        Subtree(level, index) for level in range(9) for index in range(len(LEAVES) >> level)
    }
    assert all(found == subtree_hash(subtree) for subtree, found in named)


def test_roots_and_proofs_are_those_of_an_independent_library() -> None:
    tree = library_tree(130)
    for size in range(1, 131):
        root = tree.get_root(size)
        assert root_of(size) == root
        for index in range(size):
            proof = prove(inclusion_ranges(index, size), subtree_hash)
            assert [LEAVES[index], *proof] == tree.prove_inclusion(index + 1, size).path
            assert includes(root=root, size=size, index=index, leaf=LEAVES[index], proof=proof)


def test_consistency_proofs_convince_for_every_pair_of_sizes() -> None:
    tree = library_tree(66)
    for size in range(1, 67):
        for old in range(1, size + 1):
            proof = prove(consistency_ranges(old, size), subtree_hash)
            roots = {"old_root": tree.get_root(old), "root": tree.get_root(size)}
            assert extends(**roots, old=old, size=size, proof=proof)
            assert proof == subproof(old, 0, size, whole=True)


@given(size=st.integers(1, 300), data=st.data())
def test_no_other_leaf_place_root_or_proof_convinces(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = prove(inclusion_ranges(index, size), subtree_hash)
    right: dict[str, Any] = {"root": root_of(size), "size": size, "index": index, "leaf": LEAVES[index], "proof": proof}
    assert includes(**right)
    other = data.draw(st.integers(-2, 310).filter(lambda number: number != index))
    assert not includes(**right | {"index": other})
    assert not includes(**right | {"leaf": leaf_hash(b"forged")})
    assert not includes(**right | {"root": bytes(32)})
    assert not includes(**right | {"proof": [*proof, bytes(32)]})
    assert not includes(**right | {"proof": proof[:-1]}) or not proof
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:place], node_hash(proof[place], b""), *proof[place + 1 :]]
        assert not includes(**right | {"proof": bent})


@given(size=st.integers(2, 300), data=st.data())
def test_no_other_history_convinces(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof = prove(consistency_ranges(old, size), subtree_hash)
    right: dict[str, Any] = {"old_root": root_of(old), "old": old, "root": root_of(size), "size": size, "proof": proof}
    assert extends(**right)
    assert not extends(**right | {"old_root": bytes(32)})
    assert not extends(**right | {"root": bytes(32)})
    assert not extends(**right | {"proof": proof[:-1]})
    assert not extends(**right | {"proof": [*proof, bytes(32)]})
    assert not extends(**right | {"old": size, "size": old})
    assert not extends(**right | {"old": 0})


def test_a_tree_extends_itself_without_a_proof() -> None:
    assert extends(old_root=root_of(5), old=5, root=root_of(5), size=5, proof=[])
    assert not extends(old_root=root_of(5), old=5, root=root_of(5), size=5, proof=[bytes(32)])
    assert consistency_ranges(5, 5) == []


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_outside_of_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_ranges(index, size)


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3)])
def test_a_smaller_tree_extends_no_larger_one(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="does not extend"):
        consistency_ranges(old, size)
