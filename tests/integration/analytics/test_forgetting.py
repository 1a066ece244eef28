"""What is over and old is removed in small steps, and nothing that is still needed."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import TupleRow

from schemas.envelope import new_id
from services.analytics.alerts import forgetting
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.forgetting import Forgetter, Kept
from services.analytics.alerts.silences import Silence
from services.analytics.audit import Who
from services.analytics.database import Database
from tests.integration.analytics.verdicts import THRESHOLD, of_key
from tests.logins import as_service

ANN = Who("usr_1", "Ann", "usr_1 (Ann)", None, "127.0.0.1")
HIGH, LOW = 2 * THRESHOLD, 0
KEPT = Kept(messages=timedelta(days=30), history=timedelta(days=90))
SENT = "UPDATE analytics.delivery SET state = 'sent', ended_at = created_at"
OLDER = {
    "alert": ("opened_at", "fired_at", "resolved_at", "updated_at"),
    "alert_transition": ("at",),
    "alert_outbox": ("published_at",),
    "delivery": ("created_at", "ended_at"),
    "silence": ("created_at", "until", "ended_at"),
    "audit_entry": ("at",),
}


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """Analytics' database, with the service's own rights."""
    opened = Database(as_service(migrated_url, "analytics"))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def owner(migrated_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Whoever owns the tables."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        yield connection


def age(owner: psycopg.Connection[TupleRow], days: int) -> None:
    """Everything happened so many days earlier than it did."""
    for table, columns in OLDER.items():
        moved = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
        owner.execute(f"UPDATE analytics.{table} SET {moved}".encode())


def subjects(owner: psycopg.Connection[TupleRow], joined: str) -> list[str]:
    """Whose alerts have such rows."""
    query = f"SELECT DISTINCT alert.subject_id FROM analytics.alert JOIN {joined} ORDER BY 1"
    return [row[0] for row in owner.execute(query.encode())]


def silence(until: datetime, account_id: str) -> Silence:
    """A silence."""
    now = datetime.now(UTC)
    return Silence(silence_id=str(new_id()), until=until, by="Ann", reason="test", created_at=now, account_id=account_id)


async def ended(desk: AlertDesk, *keys: str) -> None:
    """Alerts that fired and are over, whose receiver was to be told of both."""
    for observed in (HIGH, LOW):
        await desk.take([of_key(key, observed, receivers=("ops",)) for key in keys])


async def test_what_is_old_and_over_goes_and_what_is_open_waiting_or_young_stays(
    database: Database, owner: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "MOST", 3)
    desk = AlertDesk(database, lambda: None)
    await ended(desk, "old", "waits")
    await desk.take([of_key("open", HIGH, receivers=("ops",))])
    await desk.take([of_key("never", HIGH, for_s=60)])
    await desk.take([of_key("never", LOW, for_s=60)])
    far = datetime.now(UTC) + timedelta(days=1)
    await desk.add_silence(silence(far, "over"), ANN)
    owner.execute("UPDATE analytics.alert_outbox SET published_at = clock_timestamp() WHERE position <> 1")
    owner.execute(f"{SENT} WHERE event <> 'resolved' OR alert_id NOT IN (SELECT alert_id::text FROM analytics.alert "
                  "WHERE subject_id = 'waits')".encode())  # fmt: skip
    age(owner, 100)
    await ended(desk, "young")
    owner.execute(f"{SENT} WHERE ended_at IS NULL AND created_at > now() - interval '1 day'".encode())
    await desk.add_silence(silence(far, "in force"), ANN)

    assert await Forgetter(database, KEPT).work() > 0
    assert await Forgetter(database, KEPT).work() == 0
    assert subjects(owner, "analytics.alert_transition USING (alert_id)") == ["open", "young"]
    told = "analytics.delivery ON delivery.alert_id = alert.alert_id::text"
    assert subjects(owner, told) == ["open", "waits", "young"]
    assert subjects(owner, "(SELECT 1) AS one ON true") == ["old", "open", "waits", "young"]  # an alert that fired is kept
    (waiting,) = owner.execute("SELECT count(*) FROM analytics.alert_outbox WHERE published_at IS NULL").fetchall()
    assert waiting == (3,)  # the first of all, and those of the alert that is young
    (sent,) = owner.execute("SELECT count(*) FROM analytics.alert_outbox WHERE published_at IS NOT NULL").fetchall()
    assert sent == (0,)
    assert [row[0] for row in owner.execute("SELECT account_id FROM analytics.silence")] == ["in force"]
    assert len(owner.execute("SELECT 1 FROM analytics.audit_entry").fetchall()) == 2


async def test_nothing_of_the_last_eight_days_goes_and_the_service_may_delete_nothing_itself(
    database: Database, owner: psycopg.Connection[TupleRow]
) -> None:
    await ended(AlertDesk(database, lambda: None), "k1")
    owner.execute(SENT.encode())
    owner.execute("UPDATE analytics.alert_outbox SET published_at = clock_timestamp()")
    age(owner, 7)
    assert await Forgetter(database, Kept(timedelta(0), timedelta(0))).work() == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM analytics.alert_transition")
    age(owner, 2)
    assert await Forgetter(database, Kept(timedelta(0), timedelta(0))).work() == 6
