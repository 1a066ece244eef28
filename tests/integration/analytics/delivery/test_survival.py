"""Nothing that is to be told is lost, and nothing told twice but what a killed process did not record."""

import asyncio
import signal
import sys
from datetime import timedelta
from functools import partial

import psycopg
from prometheus_client import REGISTRY

from services.analytics.delivery.outcome import Later, Sent
from services.analytics.delivery.queue import Queue
from tests.integration.analytics.delivery.rig import Rig, until
from tests.integration.analytics.delivery.server import ReceiverServer
from tests.integration.analytics.process import ROOT
from tests.unit.analytics.notices import notice

RENAMED = "the rule file in force names no such receiver: it was removed or renamed"
GIVEN_UP = ("tollbook_analytics_deliveries_total", {"kind": "none", "ended": "failed"})


async def test_what_two_processes_send_is_told_once(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a", per_minute=600)
    await rig.storm(60)
    async with rig.running(count=3):
        await until(lambda: rig.all_ended(60), "all are told")
    assert sorted(server.ids["/webhook/a"]) == sorted(str(row["delivery_id"]) for row in await rig.rows())


async def test_what_nobody_could_be_told_for_a_day_is_given_up(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.always["/webhook/a"] = "500"
    await rig.tell(notice())
    await rig.change("UPDATE analytics.delivery SET created_at = now() - interval '25 hours'")
    async with rig.running():
        await until(lambda: rig.all_ended(1), "it ended")
    assert (await rig.rows())[0]["reason"] == "given up after 24 hours: HTTP 500: broken as told"


async def test_a_receiver_that_the_file_does_not_name_any_more_is_given_up(rig: Rig, server: ReceiverServer) -> None:
    counted = REGISTRY.get_sample_value(*GIVEN_UP) or 0
    rig.webhook("program", f"{server.url}/webhook/a")
    await rig.tell(notice(), "gone")
    await rig.tell(notice("alr_2"), "gone")
    await rig.change("UPDATE analytics.delivery SET created_at = now() - interval '1 hour' WHERE alert_id = 'alr_1'")
    async with rig.running():
        await until(lambda: rig.all_ended(1), "the older one ended")
    older, younger = await rig.rows()
    assert (older["state"], older["reason"]) == ("failed", RENAMED)
    assert younger["state"] == "waiting"
    assert REGISTRY.get_sample_value(*GIVEN_UP) == counted + 1


async def test_where_the_file_names_no_receiver_at_all_messages_are_given_up_after_a_day(rig: Rig) -> None:
    await rig.tell(notice(), "gone")
    await rig.tell(notice("alr_2"), "gone")
    await rig.change("UPDATE analytics.delivery SET created_at = now() - interval '25 hours' WHERE alert_id = 'alr_1'")
    await rig.change("UPDATE analytics.delivery SET created_at = now() - interval '1 hour' WHERE alert_id = 'alr_2'")
    async with rig.running():
        await until(lambda: rig.all_ended(1), "the older one ended")
    older, younger = await rig.rows()
    assert (older["state"], older["reason"], younger["state"]) == ("failed", RENAMED, "waiting")


async def test_the_loop_goes_on_when_postgres_is_back(rig: Rig, server: ReceiverServer, migrated: str) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tollbook-analytics-delivery'"
    async with rig.running():
        for number in range(2):
            await rig.tell(notice(f"alr_{number}"))
            with psycopg.connect(migrated, autocommit=True) as connection:
                connection.execute(cut)
            await until(partial(server.has, "/webhook/a", number + 1), "it is told")


async def test_a_message_of_a_killed_process_is_claimed_again_after_its_lease(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    await rig.tell(notice())
    queue = Queue(rig.pool, lease=timedelta(seconds=300))
    claim = await queue.claim("program", rig.receivers["program"])
    assert claim is not None
    assert await queue.claim("program", rig.receivers["program"]) is None
    await rig.change("UPDATE analytics.delivery SET claimed_until = now() - interval '1 second'")
    again = await queue.claim("program", rig.receivers["program"])
    assert again is not None
    assert again.rows[0].delivery_id == claim.rows[0].delivery_id
    await queue.record(claim, Later("too late"), 0.0)
    assert (await rig.rows())[0]["claim"] == again.claim_id
    await queue.record(again, Sent(200), 0.0)
    assert (await rig.rows())[0]["state"] == "sent"


async def test_what_a_killed_process_sent_and_did_not_record_is_sent_again_under_the_same_id(
    rig: Rig, server: ReceiverServer, queue_url: str
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    for event in ("firing", "resolved"):
        await rig.tell(notice(event=event))
    command = [sys.executable, "-m", "tests.integration.analytics.delivery.killable", queue_url, f"{server.url}/webhook/a"]
    killed: list[int] = []

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*command, cwd=ROOT)

    process = await start()

    def kill_once(_: str) -> None:
        if not killed:
            killed.append(process.pid)
            process.kill()

    server.before_reply = kill_once
    assert await process.wait() == -signal.SIGKILL
    assert [row["state"] for row in await rig.rows()] == ["waiting", "waiting"]
    process = await start()
    try:
        await until(lambda: rig.all_ended(2), "both are told")
    finally:
        process.kill()
        await process.wait()
    first, second = [str(row["delivery_id"]) for row in await rig.rows()]
    assert server.ids["/webhook/a"] == [first, first, second]
