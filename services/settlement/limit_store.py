"""Limits of envelopes. A new limit counts what was spent and held in its period before it was set."""

from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.control import ControlRecord
from schemas.envelope import new_id, now
from schemas.ledger import EnvelopeRef, LimitChanged, LimitChangedData
from schemas.money import format_amount
from services.settlement.arrays import uuids
from services.settlement.entries import Outbox
from services.settlement.errors import InvalidError
from services.settlement.money_in import LimitChange, period_start
from services.settlement.refusals import utc_text
from services.settlement.statements import statements


def set_limit(connection: psycopg.Connection[TupleRow], asked: LimitChange, *, author: str) -> dict[str, Any]:
    """Set, change or remove a limit. Raises InvalidError."""
    if asked.kind == "account" and asked.id != asked.account_id:
        raise InvalidError("the limit of an account names that account as id", param="id")
    with connection.transaction():
        return _set(connection, asked, author)


def limit_under_lock(connection: psycopg.Connection[TupleRow], asked: LimitChange) -> dict[str, Any] | None:
    """The limit as it is, None where there is none, which stays so until the transaction ends."""
    sql = statements("admin.sql")
    connection.execute(sql["lock_holder"], _key(asked))
    row = connection.execute(sql["limit_exists"], _key(asked)).fetchone()
    if row is None:
        return None
    _, limit, version, changed_by = row
    shown = None if limit is None else format_amount(limit)
    return {"limit": shown, "limit_nano": limit, "version": version, "changed_by": changed_by}


def limits(
    connection: psycopg.Connection[TupleRow], holder: str, *, after: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """The limits of an account (behind the one whose id is `after`), each with what its newest window holds."""
    asked = {"holder": holder, "after": after, "limit": limit}
    return [_shown(*row) for row in connection.execute(statements("admin.sql")["limits"], asked).fetchall()]


def _shown(  # noqa: PLR0917 - the columns of `limits`
    account: str,
    kind: str,
    entity: str,
    currency: str,
    window: str,
    limit: int | None,
    version: int,
    changed_at: datetime,
    start: datetime | None,
    held: int,
    spent: int,
    changed_by: str | None,
    number: int,
) -> dict[str, Any]:
    return {
        "number": number,
        "account_id": account,
        "kind": kind,
        "id": entity,
        "currency": currency,
        "window": window,
        "limit": None if limit is None else format_amount(limit),
        "limit_nano": limit,
        "version": version,
        "changed_at": utc_text(changed_at),
        "changed_by": changed_by,
        "window_start": utc_text(start),
        "held_nano": held,
        "spent_nano": spent,
    }


def _key(asked: LimitChange) -> dict[str, Any]:
    return {
        "holder": asked.account_id,
        "kind": asked.kind,
        "entity": asked.id,
        "currency": asked.currency,
        "window": asked.window,
    }


def _set(connection: psycopg.Connection[TupleRow], asked: LimitChange, author: str) -> dict[str, Any]:
    sql = statements("admin.sql")
    key = _key(asked)
    connection.execute(sql["lock_holder"], key)
    exists = connection.execute(sql["limit_exists"], key).fetchone() is not None
    history = None if exists else _History(connection, asked)
    row = connection.execute(sql["set_limit"], {**key, "limit_nano": asked.limit_nano, "author": author}).fetchone()
    assert row is not None
    envelope_id, version = row
    if history is not None:
        history.write(envelope_id)
        connection.execute(sql["limit_buckets"], key)
    _announce(connection, asked, version, author)
    return {
        "account_id": asked.account_id,
        "kind": asked.kind,
        "id": asked.id,
        "currency": asked.currency,
        "window": asked.window,
        "limit": None if asked.limit_nano is None else format_amount(asked.limit_nano),
        "limit_nano": asked.limit_nano,
        "version": version,
        "changed_by": author,
    }


class _History:
    """What an envelope spent and holds in the present period, read while no hold of its buckets can change."""

    def __init__(self, connection: psycopg.Connection[TupleRow], asked: LimitChange) -> None:
        sql = statements("admin.sql")
        self._connection = connection
        holder = {"holder": asked.account_id, "currency": asked.currency, "kind": asked.kind, "entity": asked.id}
        self.start: datetime = period_start(asked.window, now())
        period = {**holder, "start": self.start}
        # Most of the past is added up before anything is locked: a bucket's moves are numbered in the order of their commits.
        before = {row[0]: row[1] for row in connection.execute(sql["last_moves"], holder).fetchall()}
        self.spent_nano, self.overrun_nano = 0, 0
        for account, last in before.items():
            self._add(period, account, after=0, until=last)
        # Buckets, then holds, then windows: the order of everybody who takes more than one of them.
        for (account,) in connection.execute(sql["lock_currency"], holder).fetchall():
            self._add(period, account, after=before.get(account, 0), until=2**63 - 1)
        open_holds = connection.execute(sql["lock_open_holds"], period).fetchall()
        self.hold_ids: list[UUID] = [row[0] for row in open_holds]
        self.held_nano = sum(row[1] for row in open_holds)

    def _add(self, period: dict[str, Any], account: int, *, after: int, until: int) -> None:
        """Add what the bucket's moves (after, until] spent in the period."""
        move = {"account": account, "after": after, "until": until}
        row = self._connection.execute(statements("admin.sql")["spent_in_period"], {**period, **move}).fetchone()
        assert row is not None
        self.spent_nano += row[0]
        self.overrun_nano += row[1]

    def write(self, envelope_id: int) -> None:
        """Open the envelope's first window with it, and stamp the open holds."""
        sql = statements("admin.sql")
        row = self._connection.execute(
            sql["open_window"],
            {
                "envelope": envelope_id,
                "start": self.start,
                "held": self.held_nano,
                "spent": self.spent_nano,
                "overrun": self.overrun_nano,
            },
        ).fetchone()
        assert row is not None
        self._connection.execute(sql["stamp_holds"], {"window": row[0], "ids": uuids(self.hold_ids)})


def _announce(connection: psycopg.Connection[TupleRow], asked: LimitChange, version: int, author: str) -> None:
    """LimitChanged to the ledger's topic, and to the control topic for whoever caches the entity."""
    data = LimitChangedData(
        envelope=EnvelopeRef(kind=asked.kind, id=asked.id, window=asked.window),
        currency=asked.currency,
        limit_nano=asked.limit_nano,
        author=author,
    )
    event = LimitChanged(account_id=asked.account_id, data=data)
    # Versions of one entity's control record must grow over all of its limits: the clock does, in microseconds.
    control = ControlRecord(
        kind="limit", entity_id=asked.id, version=max(version, int(now().timestamp() * 1_000_000)), author=author
    )
    outbox = Outbox()
    outbox.add(topics.LEDGER, asked.account_id, "LimitChanged", event.event_id, event.to_json().decode())
    outbox.add(topics.CONTROL, control.key, "ControlRecord", new_id(), control.to_json().decode())
    connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())
