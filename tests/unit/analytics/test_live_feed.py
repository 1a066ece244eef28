"""Who watches sees what was asked for within what may be shown, and is dropped with words where reading is too slow."""

import asyncio
from typing import Any

import pytest

from services.analytics.live_feed import Watcher
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
