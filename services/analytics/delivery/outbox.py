"""What is to be told is written down in the transaction of the change itself: both happen, or neither."""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import dict_row

from schemas.envelope import new_id
from services.analytics.alerts.machine import Alert, Transition
from services.analytics.delivery.notice import Notice
from services.analytics.delivery.telling import notice_of
from services.analytics.sqlfile import queries


async def enqueue(
    connection: psycopg.AsyncConnection[Any],
    alert: Alert,
    transition: Transition,
    receivers: Iterable[str],
    *,
    action_state: str = "",
) -> int:
    """Write one row for each receiver, in the transaction that the connection is in; how many were new.

    `receivers` are those of an alert that fires: whoever heard that hears how it goes on, whatever its rule says by then.
    Nothing for a step that nobody is told of. `alert` is the alert after the step; `action_state` says how far the action of
    its rule is: asked, done, failed, declined, or nothing.
    """
    notice = notice_of(alert, transition, action_state)
    if notice is None:
        return 0
    return await put(connection, notice, receivers if notice.event == "firing" else await _who_hears(connection, notice))


async def put(connection: psycopg.AsyncConnection[Any], notice: Notice, receivers: Iterable[str]) -> int:
    """The same for a notice that is made already. The same change again writes nothing; a test is none, and is not written."""
    names = sorted(set(receivers))
    if not names or notice.event == "test":
        return 0
    cursor = await connection.execute(
        queries("delivery.sql")["enqueue"].encode(),
        {
            "alert_id": notice.alert_id,
            "transition_id": notice.transition_id,
            "event": notice.event,
            "account_id": notice.account_id,
            "notice": notice.to_json().decode(),
            "delivery_ids": [new_id() for _ in names],
            "receivers": names,
        },
    )
    return cursor.rowcount


async def _who_hears(connection: psycopg.AsyncConnection[Any], notice: Notice) -> list[str]:
    rows = connection.cursor(row_factory=dict_row)
    await rows.execute(queries("delivery.sql")["who_hears"].encode(), {"alert_id": notice.alert_id})
    return [row["receiver"] for row in await rows.fetchall()]
