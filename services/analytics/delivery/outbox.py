"""What is to be told is written down in the transaction of the change itself: both happen, or neither."""

from collections.abc import Iterable
from typing import Any

import psycopg

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

    Nothing for a step that nobody is told of. `alert` is the alert after the step; `action_state` says how far the action of
    its rule is: asked, done, failed, declined, or nothing.
    """
    notice = notice_of(alert, transition, action_state)
    return 0 if notice is None else await put(connection, notice, receivers)


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
