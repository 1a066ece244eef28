"""Alerts in Postgres: one alert however often it is said, its history, its events, its messages, silences and freezes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from schemas.envelope import new_id
from services.analytics.alerts import machine, store
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.freezer import Freezer, Owners
from services.analytics.alerts.machine import Alert, Step
from services.analytics.alerts.silences import Silence
from services.analytics.alerts.views import Views
from services.analytics.audit import Who
from services.analytics.database import Database, rows_of
from services.analytics.errors import AlertStateError, PostgresAwayError, UnknownAlertError
from tests.integration.analytics.verdicts import THRESHOLD, of_key
from tests.logins import as_service

ANN = Who("usr_1", "Ann", "usr_1 (Ann)", None, "127.0.0.1")
HIGH, LOW = 2 * THRESHOLD, 0


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """Analytics' database, with the service's own rights."""
    opened = Database(as_service(migrated_url, "analytics"))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def desk(database: Database) -> AlertDesk:
    """A desk."""
    return AlertDesk(database, lambda: None)


async def alerts_of(database: Database) -> list[Alert]:
    """Every alert that is open."""
    async with database.transaction() as connection:
        return await store.open_alerts(connection)


async def one_of(database: Database) -> Alert:
    """The only open alert."""
    (alert,) = await alerts_of(database)
    return alert


async def events_of(database: Database) -> list[tuple[str, str]]:
    """Type and state or step of the events that wait to be published, in order."""
    async with database.transaction() as connection:
        rows = await rows_of(connection, store.SQL, "take_events", {"limit": 1000})
    return [(row["event"]["type"], row["event"]["data"].get("state") or row["event"]["data"]["step"]) for row in rows]


async def kinds_of(database: Database, alert_id: str) -> list[str]:
    """The steps of an alert in order."""
    detail = await Views(database).detail(UUID(alert_id))
    return [step["kind"] for step in reversed(detail["transitions"])]


def acknowledge(alert: Alert, at: datetime) -> Step:
    """Ann takes it."""
    return machine.acknowledge(alert, ANN.author, at, "looking")


async def test_many_detectors_at_once_make_one_alert_and_one_event(database: Database, desk: AlertDesk) -> None:
    others = [AlertDesk(database, lambda: None) for _ in range(3)]
    said = [of_key("k1", HIGH), of_key("k2", HIGH)]
    await asyncio.gather(*(each.take(said) for each in [desk, *others] for _ in range(5)))
    assert sorted(alert.last.subject_id for alert in await alerts_of(database)) == ["k1", "k2"]
    assert await events_of(database) == [("VelocityAlert", "firing")] * 2
    await asyncio.gather(*(each.take([of_key("k1", LOW)]) for each in [desk, *others]))
    assert (await one_of(database)).last.subject_id == "k2"
    assert (await events_of(database))[2:] == [("VelocityAlert", "resolved")]


async def test_a_process_that_stands_still_in_its_turn_loses_it_to_the_others(database: Database, desk: AlertDesk) -> None:
    async def stood_still() -> None:
        async with database.transaction() as connection:
            await store.take_turn(connection)
            (row,) = await (await connection.execute("SHOW idle_in_transaction_session_timeout")).fetchall()
            assert row == {"idle_in_transaction_session_timeout": "30s"}
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
            await desk.take([of_key("k1", HIGH)])
            await store.open_alerts(connection)

    with pytest.raises(PostgresAwayError):
        await stood_still()
    assert (await one_of(database)).state == "firing"


async def test_an_alert_that_comes_back_is_the_same_one_and_what_comes_late_says_nothing(
    database: Database, desk: AlertDesk
) -> None:
    first = of_key("k1", HIGH)
    await desk.take([first])
    alert = await one_of(database)
    await desk.take([of_key("k1", LOW)])
    await desk.take([first])
    assert await alerts_of(database) == []
    await desk.take([of_key("k1", HIGH)])
    again = await one_of(database)
    assert (again.alert_id, again.flaps) == (alert.alert_id, 1)
    assert await kinds_of(database, alert.alert_id) == ["firing", "resolved", "firing"]


async def test_receivers_are_told_in_the_transaction_of_the_step(database: Database, desk: AlertDesk) -> None:
    await desk.take([of_key("k1", HIGH, receivers=("ops", "boss"))])
    alert_id = UUID((await one_of(database)).alert_id)
    await desk.act(alert_id, ANN, "alert.acknowledge", acknowledge)
    await desk.take([of_key("k1", LOW, receivers=("ops", "boss"))])
    shown = (await Views(database).detail(alert_id))["deliveries"]
    assert [(row["receiver"], row["event"], row["state"]) for row in reversed(shown)] == [
        (receiver, event, "waiting") for event in ("firing", "acknowledged", "resolved") for receiver in ("boss", "ops")
    ]


async def test_whoever_heard_an_alert_begin_hears_it_end_and_nobody_else_whatever_its_rule_says_by_then(
    database: Database, desk: AlertDesk
) -> None:
    await desk.take([of_key("k1", HIGH, receivers=("pager",))])
    await desk.take([of_key("k1", LOW, receivers=("ops",))])
    await desk.take([of_key("k1", HIGH, receivers=("ops",))])
    alert = await one_of(database)
    await desk.act(UUID(alert.alert_id), ANN, "alert.acknowledge", acknowledge)
    shown = reversed((await Views(database).detail(UUID(alert.alert_id)))["deliveries"])
    told = [("pager", "firing"), ("pager", "resolved"), ("ops", "firing"), ("ops", "acknowledged")]
    assert [(row["receiver"], row["event"]) for row in shown] == told


async def test_what_people_do_is_in_the_history_and_in_the_audit_log(database: Database, desk: AlertDesk) -> None:
    await desk.take([of_key("k1", HIGH)])
    alert_id = (await one_of(database)).alert_id
    for _ in range(2):
        await desk.act(UUID(alert_id), ANN, "alert.acknowledge", acknowledge, "looking")
    taken = await one_of(database)
    assert (taken.state, taken.acknowledged_by) == ("acknowledged", "usr_1 (Ann)")
    await desk.take([of_key("k1", LOW)])
    with pytest.raises(AlertStateError, match="resolved"):
        await desk.act(UUID(alert_id), ANN, "alert.acknowledge", acknowledge)
    with pytest.raises(UnknownAlertError):
        await desk.act(new_id(), ANN, "alert.acknowledge", acknowledge)
    assert await kinds_of(database, alert_id) == ["firing", "acknowledged", "resolved"]
    entries = await database.rows(store.SQL, "audit_entries", _entries())
    assert [(row["action"], row["actor"], row["account_id"], row["reason"]) for row in entries] == [
        ("alert.acknowledge", "usr_1", "acc_0", "looking")
    ]


def _entries() -> dict[str, Any]:
    words = ("after", "entity_kind", "entity_id", "actor", "since", "until", "account_id", "accounts")
    return dict.fromkeys(words) | {"limit": 50}


def silence(**words: Any) -> Silence:
    """A silence for an hour."""
    now = datetime.now(UTC)
    return Silence(
        silence_id=str(new_id()), until=now + timedelta(hours=1), by=ANN.author, reason="load test", created_at=now, **words
    )


async def test_a_silence_mutes_what_fits_until_it_ends_and_what_still_fires_is_told_then(
    database: Database, desk: AlertDesk
) -> None:
    made = await desk.add_silence(silence(rule="runaway-key", account_id="acc_0"), ANN)
    assert await desk.add_silence(made, ANN) == made
    with pytest.raises(AlertStateError, match="another silence"):
        await desk.add_silence(replace(made, rule="another"), ANN)
    await desk.take([of_key("k1", HIGH, action="freeze_key"), of_key("k2", HIGH, account_id="acc_1")])
    by_key = {alert.last.subject_id: alert for alert in await alerts_of(database)}
    assert (by_key["k1"].silenced_by, by_key["k1"].heard, by_key["k2"].heard) == (made.silence_id, False, True)
    assert (await Views(database).detail(UUID(by_key["k1"].alert_id)))["freezes"] == []
    await desk.end_silence(UUID(made.silence_id), ANN)
    await desk.end_silence(UUID(made.silence_id), ANN)
    assert await kinds_of(database, by_key["k1"].alert_id) == ["firing", "unsilenced", "firing"]
    detail = await Views(database).detail(UUID(by_key["k1"].alert_id))
    assert [(freeze["target_id"], freeze["state"]) for freeze in detail["freezes"]] == [("k1", "waiting")]


async def test_a_silence_that_runs_out_is_noticed(database: Database, desk: AlertDesk) -> None:
    await desk.take([of_key("k1", HIGH)])
    made = silence(subject_kind="key", subject_id="k1")
    await desk.add_silence(made, ANN)
    await desk.let_be_heard()
    assert (await one_of(database)).silenced_by == made.silence_id
    async with database.transaction() as connection:
        await connection.execute("UPDATE analytics.silence SET until = now()")
    async with asyncio.timeout(60):
        while (await one_of(database)).silenced_by is not None:
            await desk.let_be_heard()
            await asyncio.sleep(0.1)
    assert await kinds_of(database, (await one_of(database)).alert_id) == ["firing", "silenced", "unsilenced"]


class Owning:
    """The admin calls of edge and router, as far as freezing goes: what they were asked, and what is frozen."""

    def __init__(self) -> None:
        self.frozen: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.away = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """One call."""
        import json

        assert request.headers["authorization"] == "Bearer root"
        kind, target = request.url.path.split("/")[2:4]
        if self.away:
            self.away -= 1
            raise httpx.ConnectError("away")
        if target == "nobody":
            return httpx.Response(404, json={"error": {"message": "There is no such key."}})
        if request.method == "GET":
            frozen = target in self.frozen
            told = {"freeze": {"author": "x"} if frozen else None} if kind == "channels" else {"frozen": frozen}
            return httpx.Response(200, json=told)
        body = json.loads(request.content)
        self.asked.append((request.url.path, body))
        self.frozen[target] = body
        return httpx.Response(200, json={})


def freezing(database: Database, owning: Owning) -> Freezer:
    """A freezer that asks them."""
    owners = Owners("http://edge", "http://router", "root", transport=httpx.MockTransport(owning.handle))
    return Freezer(database, owners)


async def work(freezer: Freezer, database: Database, state: str) -> list[dict[str, Any]]:
    """Work the queue until every freeze is as far as that."""
    async with asyncio.timeout(60):
        while True:
            await freezer.work()
            rows = await database.rows(
                store.SQL, "freezes", {"alert_ids": [UUID(a.alert_id) for a in await alerts_of(database)]}
            )
            if rows and all(row["state"] == state for row in rows):
                return rows
            await asyncio.sleep(0.1)


async def test_a_freeze_is_tried_until_its_owner_answers_and_is_made_once(database: Database, desk: AlertDesk) -> None:
    owning = Owning()
    owning.away = 2
    freezer = freezing(database, owning)
    await desk.take([of_key("k1", HIGH, action="freeze_key", locked=True)])
    alert = await one_of(database)
    (row,) = await work(freezer, database, "done")
    assert row["attempts"] == 3
    ((path, body),) = owning.asked
    assert (path, body["author"], body["owner_may_unfreeze"]) == ("/admin/keys/k1/freeze", "alert:runaway-key", False)
    assert alert.alert_id in body["reason"]
    assert "rule runaway-key" in body["reason"]
    assert await kinds_of(database, alert.alert_id) == ["firing", "acted"]
    assert await freezer.work() == 0


async def test_whatever_is_frozen_already_is_left_as_it_is(database: Database, desk: AlertDesk) -> None:
    owning = Owning()
    owning.frozen = {"prj_0": {}, "slow": {}}
    await desk.take([of_key("k1", HIGH, action="freeze_project")])
    channel = {"subject_kind": "channel", "account_id": "", "action": "freeze_channel", "rule": "channel-errors"}
    await desk.take([of_key("slow", HIGH, **channel), of_key("fast", HIGH, **channel)])
    await work(freezing(database, owning), database, "done")
    assert [path for path, _ in owning.asked] == ["/admin/channels/fast/freeze"]
    assert "owner_may_unfreeze" not in owning.asked[0][1]


async def test_what_can_never_be_frozen_is_given_up_and_said(database: Database, desk: AlertDesk) -> None:
    await desk.take([of_key("nobody", HIGH, action="freeze_key")])
    (row,) = await work(freezing(database, Owning()), database, "failed")
    assert row["last_error"] == "HTTP 404: There is no such key."
    assert (await kinds_of(database, str(row["alert_id"])))[-1] == "failed"


async def test_a_rule_that_asks_freezes_after_approval_and_not_after_a_refusal(database: Database, desk: AlertDesk) -> None:
    owning = Owning()
    freezer = freezing(database, owning)
    await desk.take([of_key(key_id, HIGH, action="ask") for key_id in ("yes", "no", "late")])
    of = {alert.last.subject_id: UUID(alert.alert_id) for alert in await alerts_of(database)}
    assert await freezer.work() == 0
    await desk.decide(of["no"], ANN, approve=False, reason="a load test")
    await desk.decide(of["yes"], ANN, approve=True)
    await desk.take([of_key("late", LOW, action="ask")])
    for decided in of.values():
        with pytest.raises(AlertStateError, match="nothing to decide"):
            await desk.decide(decided, ANN, approve=True)
    assert await freezer.work() == 1
    assert [path for path, _ in owning.asked] == ["/admin/keys/yes/freeze"]
    assert await kinds_of(database, str(of["yes"])) == ["firing", "asked", "approved", "acted"]
    assert await kinds_of(database, str(of["no"])) == ["firing", "asked", "declined"]
    assert await kinds_of(database, str(of["late"])) == ["firing", "asked", "resolved", "withdrawn"]


async def test_a_freeze_that_waits_for_its_owner_is_withdrawn_once_nobody_asks_for_it(
    database: Database, desk: AlertDesk
) -> None:
    owning = Owning()
    owning.away = 4
    freezer = freezing(database, owning)
    await desk.take([of_key(key_id, HIGH, action="freeze_key") for key_id in ("calm", "changed", "stays")])
    await desk.take([of_key("approved", HIGH, action="ask")])
    of = {alert.last.subject_id: UUID(alert.alert_id) for alert in await alerts_of(database)}
    await desk.decide(of["approved"], ANN, approve=True)
    assert await freezer.work() == 4
    async with database.transaction() as connection:
        await connection.execute("UPDATE analytics.alert SET updated_at = updated_at - interval '1 minute'")
    calm = [of_key(key_id, LOW, action="freeze_key") for key_id in ("calm", "approved")]
    await desk.take([*calm, of_key("changed", HIGH, action="none"), of_key("stays", HIGH, action="freeze_key")])
    async with asyncio.timeout(60):
        while len(owning.frozen) < 2:
            await freezer.work()
            await asyncio.sleep(0.1)
    assert sorted(owning.frozen) == ["approved", "stays"]
    assert await kinds_of(database, str(of["calm"])) == ["firing", "resolved", "withdrawn"]
    assert await kinds_of(database, str(of["changed"])) == ["firing", "withdrawn"]


async def test_what_waits_to_be_frozen_waits_for_the_end_of_a_silence(database: Database, desk: AlertDesk) -> None:
    owning = Owning()
    freezer = freezing(database, owning)
    await desk.take([of_key("k1", HIGH, action="freeze_key")])
    made = await desk.add_silence(silence(rule="runaway-key", account_id="acc_0"), ANN)
    assert await freezer.work() == 0
    await desk.end_silence(UUID(made.silence_id), ANN)
    await work(freezer, database, "done")
    assert sorted(owning.frozen) == ["k1"]


async def test_an_accounts_own_silence_does_not_hold_up_what_a_locked_rule_freezes(database: Database, desk: AlertDesk) -> None:
    owning = Owning()
    freezer = freezing(database, owning)
    own = await desk.add_silence(silence(account_id="acc_0"), ANN)
    operators = await desk.add_silence(silence(rule="runaway-key", subject_id="k2", subject_kind="key"), ANN)
    said = {"action": "freeze_key", "locked": True}
    await desk.take([of_key("k1", HIGH, **said), of_key("k2", HIGH, account_id="acc_1", **said)])
    assert await freezer.work() == 1
    owning.frozen.clear()
    await desk.end_silence(UUID(own.silence_id), ANN)
    await desk.end_silence(UUID(operators.silence_id), ANN)
    assert await freezer.work() == 1
    assert [path for path, _ in owning.asked] == ["/admin/keys/k1/freeze", "/admin/keys/k2/freeze"]


async def test_what_a_person_unfroze_is_frozen_again_only_when_the_alert_fires_anew(
    database: Database, desk: AlertDesk
) -> None:
    owning = Owning()
    freezer = freezing(database, owning)
    said = {"action": "freeze_key"}
    await desk.take([of_key("k1", HIGH, **said)])
    await work(freezer, database, "done")
    owning.frozen.clear()
    await desk.take([of_key("k1", HIGH, **said)])
    assert await freezer.work() == 0
    await desk.take([of_key("k1", LOW, **said)])
    await desk.take([of_key("k1", HIGH, **said)])
    await work(freezer, database, "done")
    assert sorted(owning.frozen) == ["k1"]


async def test_alerts_whose_rule_is_gone_are_ended(database: Database, desk: AlertDesk) -> None:
    await desk.take([of_key("k1", HIGH), of_key("k1", HIGH, rule="kept"), of_key("c", HIGH, signal="other", rule="other")])
    assert await desk.retire({"kept": "tokens_per_minute_by_key"}, {"tokens_per_minute_by_key"}) == 1
    assert sorted(alert.last.rule for alert in await alerts_of(database)) == ["kept", "other"]
