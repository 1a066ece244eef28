"""Keys in memory: bounded, ageing, and forgotten when the control topic says so."""

import pytest

from schemas.control import ControlKind, ControlRecord
from services.edge.key_cache import KeyCache
from tests.unit.edge.values import caller


class Clock:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> KeyCache:
    return KeyCache(capacity=3, ttl_s=30, refused_ttl_s=10, clock=clock)


def record(kind: ControlKind, entity_id: str) -> ControlRecord:
    return ControlRecord(kind=kind, entity_id=entity_id, version=2, frozen=True)


def test_what_was_kept_is_found_and_what_was_not_is_unknown(cache: KeyCache) -> None:
    assert cache.keep(b"1", caller(), cache.generation)
    assert cache.keep(b"2", None, cache.generation)
    assert cache.find(b"1") == (True, caller())
    assert cache.find(b"2") == (True, None)
    assert cache.find(b"3") == (False, None)


def test_a_proven_key_is_asked_for_again_when_it_is_old(cache: KeyCache, clock: Clock) -> None:
    cache.keep(b"1", caller(), cache.generation)
    clock.now_s += 30.1
    assert cache.find(b"1") == (False, None)


def test_a_refused_token_is_asked_for_again_sooner(cache: KeyCache, clock: Clock) -> None:
    cache.keep(b"1", None, cache.generation)
    clock.now_s += 10.1
    assert cache.find(b"1") == (False, None)


def test_a_flood_of_wrong_keys_drives_out_no_right_one(cache: KeyCache) -> None:
    cache.keep(b"right", caller(), cache.generation)
    for number in range(100):
        cache.keep(b"wrong %d" % number, None, cache.generation)
    assert cache.find(b"right") == (True, caller())
    assert len(cache) == 4


def test_the_oldest_key_makes_room(cache: KeyCache) -> None:
    for number in range(4):
        cache.keep(b"%d" % number, caller(), cache.generation)
    assert [cache.find(b"%d" % number)[0] for number in range(4)] == [False, True, True, True]


@pytest.mark.parametrize(("kind", "entity_id"), [("key", "Q7mZk2XvB9tL"), ("project", "prj_1"), ("account", "acc_1")])
def test_a_changed_key_project_or_account_is_forgotten_at_once(cache: KeyCache, kind: ControlKind, entity_id: str) -> None:
    cache.keep(b"1", caller(), cache.generation)
    cache.keep(b"2", caller(key_id="other0000000", project_id="prj_2", account_id="acc_2"), cache.generation)
    cache.invalidate(record(kind, entity_id))
    assert cache.find(b"1") == (False, None)
    assert cache.find(b"2")[0]


@pytest.mark.parametrize(("kind", "entity_id"), [("routes", "table"), ("limit", "Q7mZk2XvB9tL")])
def test_a_change_of_something_else_is_no_reason_to_forget(cache: KeyCache, kind: ControlKind, entity_id: str) -> None:
    cache.keep(b"1", caller(), cache.generation)
    cache.invalidate(record(kind, entity_id))
    assert cache.find(b"1")[0]


def test_what_was_read_before_a_change_is_not_kept_after_it(cache: KeyCache) -> None:
    before = cache.generation
    cache.invalidate(record("key", "Q7mZk2XvB9tL"))
    assert not cache.keep(b"1", caller(), before)
    assert cache.find(b"1") == (False, None)


def test_tokens_are_kept_under_a_hash_that_differs_by_process() -> None:
    first, second = KeyCache(), KeyCache()
    assert first.handle("sk-tb-x") == first.handle("sk-tb-x") != first.handle("sk-tb-y")
    assert first.handle("sk-tb-x") != second.handle("sk-tb-x")
    assert b"sk-tb-x" not in first.handle("sk-tb-x")


def test_what_is_in_memory_counts_for_a_second_while_changes_are_not_heard(cache: KeyCache, clock: Clock) -> None:
    cache.keep(b"1", caller(), cache.generation)
    cache.keep(b"2", None, cache.generation)
    cache.listen(False)
    assert cache.find(b"1") == (True, caller())
    clock.now_s += 1.1
    assert (cache.find(b"1"), cache.find(b"2")) == ((False, None), (False, None))
    cache.keep(b"1", caller(), cache.generation)
    assert cache.find(b"1") == (True, caller())
    cache.listen(True)
    clock.now_s += 5
    assert cache.find(b"1") == (True, caller())
