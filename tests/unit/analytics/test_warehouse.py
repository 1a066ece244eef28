"""The handle to ClickHouse: a reader waits only so long, whatever holds the handle up."""

import asyncio
from collections.abc import Iterator
from threading import Event
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client
from urllib3.exceptions import ProtocolError

from services.analytics.warehouse import Warehouse, WarehouseAwayError


class Handle:
    """A client of no server."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def released() -> Iterator[Event]:
    """What a call that hangs waits for; set at the test's end."""
    event = Event()
    yield event
    event.set()


async def test_a_reader_is_told_that_clickhouse_hangs_and_so_is_the_one_who_waits_behind(released: Event) -> None:
    warehouse = Warehouse(lambda: cast("Client", Handle()), "test", patience_s=0.05)
    asked: list[str] = []

    def hang(_: Client) -> None:
        released.wait()

    answers = await asyncio.gather(
        warehouse.call(hang), warehouse.call(lambda _: asked.append("asked")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [WarehouseAwayError, WarehouseAwayError]
    released.set()
    await warehouse.close()
    assert asked == [], "nobody waits for it any more"


async def test_an_answer_that_breaks_off_is_an_absence_and_not_a_bug() -> None:
    def break_off(_: Client) -> None:
        raise ProtocolError("Connection broken")

    warehouse = Warehouse(lambda: cast("Client", Handle()), "test")
    with pytest.raises(WarehouseAwayError, match="Connection broken"):
        await warehouse.call(break_off)
    await warehouse.close()
