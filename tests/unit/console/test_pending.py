"""A creating call that was cut is asked again under the same key; one that was answered is not."""

import fcntl
import time
from pathlib import Path

import pytest

from services.console.errors import BadFileError
from services.console.pending import KEPT_S, Order, Pending

ASKED = ["edge http://e", "/admin/accounts", {"name": "a"}]


class CutError(Exception):
    """The command ended before the service had answered."""


def cut(pending: Pending, asked: object = ASKED, body: dict[str, object] | None = None) -> Order:
    with pytest.raises(CutError), pending.order(asked, body or {"name": "a"}) as order:
        raise CutError
    return order


def answered(pending: Pending, asked: object = ASKED) -> Order:
    with pending.order(asked, {"name": "a"}) as order:
        order.done = True
    return order


def test_a_cut_command_run_again_asks_the_same_under_the_same_key(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    first = cut(pending, body={"expires_at": "soon"})
    with pending.order(ASKED, {"expires_at": "a second later"}) as again:
        assert (again.again, again.key, again.body) == (True, first.key, {"expires_at": "soon"})
        again.done = True
    assert list(tmp_path.iterdir()) == []


def test_an_answered_command_run_again_is_another_one(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    first, second = answered(pending), answered(pending)
    assert (first.again, second.again) == (False, False)
    assert first.key != second.key


def test_another_command_has_another_key(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    first = cut(pending)
    assert cut(pending, asked=["edge http://other", *ASKED[1:]]).key != first.key


def test_a_key_of_the_callers_own_is_used_as_it_is_and_not_kept(tmp_path: Path) -> None:
    with Pending(tmp_path / "none").order(ASKED, {}, "mine") as order:
        assert (order.key, order.again) == ("mine", False)
    assert not (tmp_path / "none").exists()


def test_the_same_command_beside_this_one_creates_a_second(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    with pending.order(ASKED, {}) as one, pending.order(ASKED, {}) as beside:
        assert one.key != beside.key
        assert not beside.again


def test_one_that_ends_beside_another_leaves_nothing_to_repeat(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    with pending.order(ASKED, {}) as one:
        late = next(tmp_path.iterdir()).open("r+")
        one.done = True
    with late:
        fcntl.flock(late, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert late.read() == ""


def test_what_services_have_forgotten_is_not_repeated(tmp_path: Path) -> None:
    now = [time.time()]
    pending = Pending(tmp_path, lambda: now[0])
    first = cut(pending)
    now[0] += KEPT_S + 1
    assert cut(pending).key != first.key


def test_what_was_never_run_again_does_not_lie_about_for_ever(tmp_path: Path) -> None:
    cut(Pending(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    answered(Pending(tmp_path, lambda: time.time() + 3 * KEPT_S), asked="another")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFileError, match="--idempotency-key"), Pending(tmp_path / "file" / "x").order(ASKED, {}):
        pass
