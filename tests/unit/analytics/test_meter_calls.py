"""What analytics tells the meter of the rules and of what is usual."""

import httpx
import pytest
from fastapi import FastAPI

from services.analytics.database import Database, Row
from services.analytics.errors import PostgresAwayError
from services.analytics.signals.history import Usuals
from services.analytics.signals.meter_calls import router
from services.analytics.signals.rule_book import RuleBook
from services.analytics.signals.rule_store import RuleStore


async def asked(usuals: Usuals, known: int) -> httpx.Response:
    """What a meter that knows the baselines of an hour is told."""
    return await told("baselines", RuleBook(Stored(None)), usuals, known)


class Stored(RuleStore):
    """The rules in Postgres: of a version, or not within reach."""

    def __init__(self, version: int | None) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self._version = version

    async def version(self) -> int:
        if self._version is None:
            raise PostgresAwayError("away")
        return self._version

    async def in_force(self) -> Row:
        return {"version": await self.version(), "file": "rules: []"}


async def told(what: str, book: RuleBook, usuals: Usuals, known: int) -> httpx.Response:
    """What a meter that knows something is told."""
    app = FastAPI()
    app.include_router(router(book, lambda: usuals, "service-token"))
    headers = {"authorization": "Bearer service-token"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://analytics", headers=headers) as client:
        return await client.get(f"/internal/meter/{what}", params={"known": known})


async def test_a_process_that_has_read_no_baselines_yet_takes_none_from_the_meter() -> None:
    assert [(await asked(Usuals(), known)).status_code for known in (0, 500_000)] == [204, 204]
    assert (await asked(Usuals(hour=500_001), 500_000)).json()["hour"] == 500_001
    assert (await asked(Usuals(hour=500_001), 500_001)).status_code == 204


async def test_a_process_that_has_read_no_rules_yet_takes_none_from_the_meter() -> None:
    book = RuleBook(Stored(None))
    with pytest.raises(PostgresAwayError):
        await book.refresh()
    assert [(await told("rules", book, Usuals(), known)).status_code for known in (0, 7)] == [204, 204]


@pytest.mark.parametrize("version", [0, 6, 8])
async def test_a_meter_is_told_of_the_version_that_was_read_whatever_it_knows(version: int) -> None:
    book = RuleBook(Stored(version))
    await book.refresh()
    assert (await told("rules", book, Usuals(), 7)).json() == {"version": version, "file": "rules: []"}
    assert (await told("rules", book, Usuals(), version)).status_code == 204
