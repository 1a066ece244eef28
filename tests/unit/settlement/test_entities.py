"""Whose what is, as the control topic tells it."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.control import ControlRecord
from services.settlement.entities import PATIENCE_S, Entities
from services.settlement.errors import NotFoundError, UnavailableError
from services.settlement.money_in import LimitChange


class Clock:
    """Time that passes only while somebody sleeps; `then` happens in the middle of it."""

    def __init__(self, ask: Callable[[str], bool] | None = None) -> None:
        self.now_s = 0.0
        self.then: list[tuple[float, ControlRecord]] = []
        self.entities = Entities(ask, clock=lambda: self.now_s, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds
        while self.then and self.then[0][0] <= self.now_s:
            self.entities.apply(self.then.pop(0)[1])


@pytest.fixture
def clock() -> Clock:
    """Account a with project p and key k, account b with project q."""
    made = Clock()
    for told in (account("a"), account("b"), owned("project", "p", "a"), owned("key", "k", "a"), owned("project", "q", "b")):
        made.entities.apply(told)
    return made


def account(name: str) -> ControlRecord:
    return ControlRecord(kind="account", entity_id=name, version=1, account_id=name)


def owned(kind: Any, name: str, holder: str | None) -> ControlRecord:
    return ControlRecord(kind=kind, entity_id=name, version=1, account_id=holder)


def limit(kind: Any, entity: str, holder: str = "a", amount: str | None = "1") -> LimitChange:
    return LimitChange(account_id=holder, kind=kind, id=entity, currency="USD", window="day", limit=amount)


@pytest.mark.parametrize("asked", [limit("account", "a"), limit("project", "p"), limit("key", "k"), limit("bucket", "credit")])
def test_what_exists_in_the_account_is_limited_at_once(clock: Clock, asked: LimitChange) -> None:
    clock.entities.require(asked)
    assert clock.now_s == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (limit("account", "x", "x"), "account_not_found"),
        (limit("key", "k", "x"), "account_not_found"),
        (limit("project", "x"), "project_not_found"),
        (limit("project", "q"), "project_not_found"),
        (limit("key", "p"), "key_not_found"),
        (limit("project", "k"), "project_not_found"),
    ],
)
def test_what_does_not_is_refused_after_the_same_time_whosever_it_is(clock: Clock, asked: LimitChange, code: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        clock.entities.require(asked)
    assert refused.value.code == code
    assert clock.now_s == pytest.approx(PATIENCE_S, abs=0.05)


def test_what_was_made_a_moment_ago_is_waited_for(clock: Clock) -> None:
    clock.then = [(0.5, account("c")), (1.0, owned("key", "new", "c"))]
    clock.entities.require(limit("key", "new", "c"))
    assert clock.now_s == pytest.approx(1.0, abs=0.05)


def test_a_limit_can_always_be_removed(clock: Clock) -> None:
    clock.entities.require(limit("project", "x", "x", amount=None))


def test_a_record_of_before_that_names_no_account_takes_nothing_back(clock: Clock) -> None:
    clock.entities.apply(owned("project", "p", None))
    clock.entities.require(limit("project", "p"))


class Asked:
    """Edge, which knows these accounts, or is away."""

    def __init__(self, *known: str, away: bool = False) -> None:
        self.known, self.away = known, away
        self.asked: list[str] = []

    def __call__(self, account_id: str) -> bool:
        self.asked.append(account_id)
        if self.away:
            raise UnavailableError("edge does not answer", code="account_unconfirmed")
        return account_id in self.known


def test_edge_is_asked_once_for_what_it_has_made_and_not_for_what_it_has_announced() -> None:
    edge = Asked("made")
    clock = Clock(edge)
    clock.entities.apply(account("announced"))
    for name in ("announced", "made", "made"):
        clock.entities.require_account(name)
    assert (edge.asked, clock.now_s) == (["made"], 0)


def test_edges_no_counts_at_once_and_is_not_remembered() -> None:
    edge = Asked()
    clock = Clock(edge)
    for _ in range(2):
        with pytest.raises(NotFoundError) as refused:
            clock.entities.require_account("later")
        assert refused.value.code == "account_not_found"
    edge.known = ("later",)
    clock.entities.require_account("later")
    assert clock.now_s == 0


def test_while_edge_is_away_an_announcement_is_waited_for_and_else_nobody_can_tell() -> None:
    clock = Clock(Asked(away=True))
    clock.then = [(0.5, account("late"))]
    clock.entities.require_account("late")
    assert clock.now_s == pytest.approx(0.5, abs=0.05)
    refusal = clock.entities.account_refusal("never")
    assert isinstance(refusal, UnavailableError)
    assert refusal.code == "account_unconfirmed"
    assert clock.now_s == pytest.approx(0.5 + PATIENCE_S, abs=0.1)
