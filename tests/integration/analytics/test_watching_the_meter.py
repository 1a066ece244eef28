"""A meter that is silent or late, and a loader that is, are alerts of their own, which receivers are told of like any other."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from schemas.envelope import now
from services.analytics.alerts import store
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.upkeep import Watcher
from services.analytics.alerts.views import Views
from services.analytics.database import Database
from tests.logins import as_service

STALL_S = 60
"""A word of the meter counts so much later than it is said, so that no test fails where the machine stands still."""
CALM_SINCE = """
UPDATE analytics.alert
SET document = jsonb_set(document, '{calm_since}', to_jsonb((document ->> 'calm_since')::timestamptz - %s))
WHERE document ->> 'calm_since' IS NOT NULL
"""


class Watching:
    """What analytics does every second, on a database of its own; its clock is moved instead of waiting."""

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url
        self._desk = AlertDesk(database, lambda: None)
        self.loader_lag_s: float | None = None
        self._watcher = Watcher(database, lambda: self.loader_lag_s, lambda: ("ops",))

    async def look(self) -> None:
        """One look at meter and loader."""
        await self._desk.take(await self._watcher.verdicts())

    async def hear(self, *, lag_s: float = 0.0) -> None:
        """The meter says that it is there."""
        await self._database.rows(store.SQL, "hear_meter", {"meter": "m", "sent_at": now(), "lag_s": lag_s})
        with psycopg.connect(self._url, autocommit=True) as owner:
            owner.execute("UPDATE analytics.alert_meter SET heard_at = heard_at + %s", [timedelta(seconds=STALL_S)])

    async def pass_by(self, seconds: int) -> None:
        """So much time goes by without a word from anybody."""
        self._watcher._begun_s -= seconds
        with psycopg.connect(self._url, autocommit=True) as owner:
            past = timedelta(seconds=seconds)
            owner.execute("UPDATE analytics.alert_meter SET heard_at = heard_at - %s, sent_at = sent_at - %s", [past, past])
            owner.execute("UPDATE analytics.alert SET updated_at = updated_at - %s", [past])
            owner.execute(CALM_SINCE, [past])

    async def told(self) -> dict[str, list[tuple[str, str]]]:
        """Of each alert its rule, and what receivers are told of it, in order."""
        found = await self._database.rows(store.SQL, "page", _everything())
        shown = {}
        for row in found:
            detail = await Views(self._database).detail(UUID(row["document"]["alert_id"]))
            shown[detail["rule"]] = [(each["event"], each["receiver"]) for each in reversed(detail["deliveries"])]
        return shown


def _everything() -> dict[str, object]:
    at = now()
    words: dict[str, object] = dict.fromkeys(("accounts", "states", "rule", "subject_id"))
    return words | {
        "before": at + timedelta(days=1),
        "before_id": UUID(int=2**128 - 1),
        "since": at - timedelta(days=1),
        "limit": 9,
    }


@pytest.fixture
async def watching(migrated_url: str) -> AsyncIterator[Watching]:
    """A watch over a meter that was heard just now, by an analytics that is up for an hour."""
    database = Database(as_service(migrated_url, "analytics"))
    await database.open()
    made = Watching(database, migrated_url)
    await made.pass_by(3600)
    await made.hear()
    yield made
    await database.close()


async def test_a_silent_meter_is_an_alert_that_ends_once_it_is_heard_again(watching: Watching) -> None:
    await watching.look()
    assert await watching.told() == {}
    await watching.pass_by(STALL_S + 16)
    for _ in range(2):
        await watching.look()
    assert await watching.told() == {"meter_silent": [("firing", "ops")]}
    await watching.hear()
    await watching.look()
    assert await watching.told() == {"meter_silent": [("firing", "ops")]}  # it must be heard for a while
    await watching.pass_by(STALL_S + 16)
    await watching.hear()
    await watching.look()
    assert await watching.told() == {"meter_silent": [("firing", "ops"), ("resolved", "ops")]}


async def test_samples_and_rows_that_come_late_are_alerts_too(watching: Watching) -> None:
    await watching.hear(lag_s=60)
    watching.loader_lag_s = 60
    await watching.look()
    assert await watching.told() == {"meter_lagging": [("firing", "ops")], "loader_lagging": [("firing", "ops")]}
