"""The relay from Postgres to `tollbook.alerts.v1`: each event at least once, in the order of the changes."""

import structlog

from schemas import registry, topics
from schemas.envelope import Event
from services.analytics.alerts.store import SQL
from services.analytics.database import Database, rows_of
from services.analytics.publisher import Publisher

MOST = 200
log = structlog.get_logger("analytics.alerts")


class Outbox:
    """Publishes what waits. One instance at a time does; the others find the turn taken."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def publish(self) -> int:
        """Publish up to a few hundred events; how many. Raises KafkaAwayError and PostgresAwayError: nothing is lost then.

        The event's id follows from the step, so that one that is published twice counts once.
        """
        async with self._database.transaction() as connection:
            if not (await rows_of(connection, SQL, "outbox_turn"))[0]["mine"]:
                return 0
            rows = await rows_of(connection, SQL, "take_events", {"limit": MOST})
            if rows:
                await self._publisher.publish(topics.ALERTS, [_event(row["event"]) for row in rows])
                await rows_of(connection, SQL, "events_left", {"positions": [row["position"] for row in rows]})
        return len(rows)


def _event(document: dict[str, object]) -> Event:
    model = registry.EVENTS[topics.ALERTS][str(document["type"])]
    return model.model_validate(document)
