"""Who watches sees what was asked for within what may be shown, and is dropped with words where reading is too slow."""

import asyncio
from typing import Any

import pytest

from schemas.access import ALL, ROOT, Grant, Principal
from services.analytics.errors import TooManyOfYoursError
from services.analytics.live_feed import WATCHERS_MAX, WATCHERS_OF_ACCOUNT, WATCHERS_OF_ONE, Holder, Watcher, refuse_too_many
from services.analytics.live_line import Watch


def line(**fields: Any) -> dict[str, Any]:
    made = {"account_id": "acc_1", "project_id": "prj_1", "key_id": "key_1", "model": "gpt-4o", "answered_model": "gpt-4.1"}
    return {**made, "outcome": "succeeded", **fields}


@pytest.mark.parametrize(
    ("watch", "shown"),
    [
        (Watch(), True),
        (Watch(account_id="acc_1", project_id="prj_1", key_id="key_1", model="gpt-4o"), True),
        (Watch(model="gpt-4.1"), True),
        (Watch(model="gpt-5"), False),
        (Watch(account_id="acc_2"), False),
        (Watch(project_id="prj_2"), False),
        (Watch(key_id="key_2"), False),
        (Watch(errors=True), False),
        (Watch(accounts=frozenset({"acc_1"})), True),
        (Watch(accounts=frozenset({"acc_2"})), False),
        (Watch(accounts=frozenset()), False),
        (Watch(accounts=frozenset({"acc_2"}), account_id="acc_1"), False),
    ],
)
def test_a_line_is_shown_where_every_filter_and_the_accounts_that_may_be_seen_allow_it(watch: Watch, *, shown: bool) -> None:
    assert watch.wants(line()) is shown


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "rejected"])
def test_whatever_did_not_succeed_is_an_error(outcome: str) -> None:
    assert Watch(errors=True).wants(line(outcome=outcome))


async def test_one_who_reads_in_time_loses_nothing() -> None:
    watcher = Watcher(Watch(), kept=3)
    seen = []
    for number in range(10):
        watcher.offer(line(number=number))
        if number % 3 == 2:
            seen += await watcher.take(0)
    seen += await watcher.take(0)
    assert ([each["number"] for each in seen], watcher.ended) == (list(range(10)), None)


async def test_one_who_reads_too_slowly_is_dropped_with_words_and_keeps_nothing() -> None:
    watcher = Watcher(Watch(), kept=3)
    for number in range(5):
        watcher.offer(line(number=number))
    assert await watcher.take(0) == []
    assert "too slowly" in (watcher.ended or "")
    watcher.end("another reason")
    assert "too slowly" in (watcher.ended or "")


async def test_one_who_waits_is_woken_by_a_line_and_by_the_end() -> None:
    watcher = Watcher(Watch())
    taking = asyncio.create_task(watcher.take(60))
    await asyncio.sleep(0)
    watcher.offer(line(number=1))
    assert [each["number"] for each in await taking] == [1]
    taking = asyncio.create_task(watcher.take(60))
    await asyncio.sleep(0)
    watcher.end("over")
    assert (await taking, watcher.ended) == ([], "over")


def member(name: str, *accounts: str) -> Principal:
    return Principal(user_id=name, name=name, grants=tuple(Grant(role="member", account_id=each) for each in accounts))


def held(user: Principal, account_id: str | None = None) -> Holder:
    """The holder of what the user watches, as the call makes it."""
    found = Holder.of(user, Watch(accounts=user.accounts_with("usage.read"), account_id=account_id))
    assert found is not None
    return found


def test_one_user_watches_so_often_and_no_more_while_others_of_the_account_still_may() -> None:
    mine = [held(member("usr_a", "acc_1"))] * WATCHERS_OF_ONE
    refuse_too_many(mine[0], mine[1:])
    with pytest.raises(TooManyOfYoursError, match="You watch 4 times"):
        refuse_too_many(mine[0], mine)
    refuse_too_many(held(member("usr_b", "acc_1")), mine)


def test_the_users_of_one_account_hold_so_many_and_those_of_another_are_not_shut_out() -> None:
    full = [held(member(f"usr_{number}", "acc_1")) for number in range(WATCHERS_OF_ACCOUNT)]
    for user in (member("usr_z", "acc_1"), member("usr_y", "acc_1", "acc_2")):
        with pytest.raises(TooManyOfYoursError, match="account acc_1"):
            refuse_too_many(held(user), full)
    refuse_too_many(held(member("usr_y", "acc_1", "acc_2"), "acc_2"), full)
    refuse_too_many(held(member("usr_x", "acc_2")), full)
    assert WATCHERS_OF_ONE < WATCHERS_OF_ACCOUNT < WATCHERS_MAX


def test_an_operator_takes_no_place_of_an_account_and_the_admin_token_counts_for_nobody() -> None:
    operator = Principal(user_id="usr_op", name="op", grants=(Grant(role="operator", account_id=None),))
    assert held(operator, "acc_1").accounts == frozenset()
    with pytest.raises(TooManyOfYoursError, match="You watch"):
        refuse_too_many(held(operator), [held(operator, "acc_1")] * WATCHERS_OF_ONE)
    assert Holder.of(ROOT, Watch(accounts=ALL)) is None
