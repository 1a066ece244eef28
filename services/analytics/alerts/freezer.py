"""Carries out what rules want frozen, through the admin calls of the service that owns it. At least once, until it is done.

An entity that is frozen already is left as it is: an attempt whose answer was lost is not made twice, and nobody's own freeze
is overwritten.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID

import httpx
import structlog

from services.analytics import metrics
from services.analytics.alerts import store
from services.analytics.alerts.freezes import GIVEN_UP_AFTER, Freeze, Frozen, pause_s
from services.analytics.alerts.machine import Transition
from services.analytics.audit import Change, Who, record
from services.analytics.database import Database, rows_of

LEASE = timedelta(seconds=20)
"""Longer than an attempt takes; what a killed process had claimed is tried again after it."""
TIMEOUT = httpx.Timeout(5, connect=1)
AT_ONCE = 16
PATHS: dict[Frozen, str] = {"key": "keys", "project": "projects", "channel": "channels"}
log = structlog.get_logger("analytics.freezer")


class Outcome(NamedTuple):
    """What became of an attempt: done, later, or never; with the words for the history."""

    word: Literal["done", "later", "never"]
    told: str


class Owners:
    """The admin calls of edge, which owns keys and projects, and router, which owns channels."""

    def __init__(
        self, edge_url: str, router_url: str, admin_token: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._urls: dict[Frozen, str] = {"key": edge_url, "project": edge_url, "channel": router_url}
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {admin_token}"}, timeout=TIMEOUT, trust_env=False, transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def freeze(self, freeze: Freeze) -> Outcome:
        """One attempt."""
        if not (base := self._urls[freeze.kind]):
            owner = "router" if freeze.kind == "channel" else "edge"
            return Outcome("later", f"analytics does not know where {owner} is: set TOLLBOOK_{owner.upper()}_URL")
        one = f"{base.rstrip('/')}/admin/{PATHS[freeze.kind]}/{quote(freeze.target_id, safe='')}"
        try:
            if (found := await self._found(one, freeze)) is not None:
                return found
            body: dict[str, Any] = {"author": freeze.author, "reason": freeze.reason}
            if freeze.kind != "channel":
                body["owner_may_unfreeze"] = not freeze.locked
            reply = await self._http.post(f"{one}/freeze", json=body)
        except (httpx.HTTPError, ValueError) as error:
            return Outcome("later", f"{type(error).__name__}: the service that owns it does not answer")
        return _outcome(reply)

    async def _found(self, one: str, freeze: Freeze) -> Outcome | None:
        """What there is to say without freezing: it is frozen already, or cannot be found."""
        reply = await self._http.get(one)
        if reply.status_code != 200:
            return _outcome(reply)
        row = reply.json()
        # A channel's freeze is told with who froze it and why, another entity's as true or false.
        frozen = row.get("freeze") if freeze.kind == "channel" else row.get("frozen")
        return Outcome("done", f"the {freeze.kind} was frozen already") if frozen else None


def _outcome(reply: httpx.Response) -> Outcome:
    if reply.status_code == 200:
        return Outcome("done", "frozen")
    try:
        said = str(reply.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        said = "no reason given"
    told = f"HTTP {reply.status_code}: {said}"
    # 401 and 403 are a token that somebody will mend.
    return Outcome("never" if reply.status_code in {400, 404, 409, 422} else "later", told)


class Freezer:
    """Works the queue. Several instances may: each claims what it tries."""

    def __init__(self, database: Database, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def work(self) -> int:
        """Try what is due; how many. Raises PostgresAwayError."""
        await self._withdraw()
        async with self._database.transaction() as connection:
            rows = await rows_of(connection, store.SQL, "claim_freezes", {"lease": LEASE, "limit": AT_ONCE})
        await asyncio.gather(*(self._tried(store.freeze_from(row)) for row in rows))
        return len(rows)

    async def _withdraw(self) -> None:
        """Give up what waits for an owner that was away until the alert was over: nothing that is calm by now is frozen."""
        if not (found := await self._database.rows(store.SQL, "freezes_in_vain")):
            return
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            named = {"freeze_ids": [row["freeze_id"] for row in found], "at": at}
            for row in await rows_of(connection, store.SQL, "withdraw_freezes", named):
                alert = await store.alert_of(connection, row["alert_id"])
                assert alert is not None, "a freeze belongs to an alert"
                await store.add_step(connection, alert, Transition(kind="withdrawn", at=at, told=False))

    async def _tried(self, freeze: Freeze) -> None:
        outcome = await self._owners.freeze(freeze)
        metrics.FREEZES.labels(freeze.kind, outcome.word).inc()
        await self._recorded(freeze, outcome)

    async def _recorded(self, freeze: Freeze, outcome: Outcome) -> None:
        async with self._database.transaction() as connection:
            at = await store.take_turn(connection)
            if outcome.word == "later" and not _given_up(freeze, at):
                pause = timedelta(seconds=pause_s(freeze.attempts))
                values = {"freeze_id": freeze.freeze_id, "pause": pause, "error": outcome.told}
                await rows_of(connection, store.SQL, "put_off_freeze", values)
                log.warning("freeze put off", kind=freeze.kind, target=freeze.target_id, reason=outcome.told)
                return
            done = outcome.word == "done"
            ended = {"freeze_id": freeze.freeze_id, "state": "done" if done else "failed", "at": at}
            error = None if done else outcome.told
            if not await rows_of(connection, store.SQL, "end_freeze", ended | {"error": error}):
                return
            alert = await store.alert_of(connection, UUID(freeze.alert_id))
            assert alert is not None, "a freeze belongs to an alert"
            said = f"{freeze.kind} {freeze.target_id}: {outcome.told}"
            by = freeze.decided_by or freeze.author
            await store.add_step(
                connection, alert, Transition(kind="acted" if done else "failed", at=at, told=False, by=by, reason=said)
            )
            actor = Who("root", freeze.author, by)
            change = Change(f"alert.{'freeze' if done else 'freeze_failed'}", freeze.kind, freeze.target_id)
            await record(
                connection,
                actor,
                change._replace(account_id=alert.last.account_id or None, after={"frozen": done}, reason=said),
            )
        log.warning(
            "frozen by a rule" if done else "freeze failed", kind=freeze.kind, target=freeze.target_id, told=outcome.told
        )


def _given_up(freeze: Freeze, at: datetime) -> bool:
    since = freeze.decided_at or freeze.asked_at
    return at - since > GIVEN_UP_AFTER
