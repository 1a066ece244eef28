"""Alerts arrive: each at every receiver, in order, whatever breaks on the way, and nobody waits for anybody else."""

import ssl
from datetime import timedelta
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from deploy.local.ports import free_port
from schemas.envelope import new_id, now
from services.analytics.delivery.outbox import put
from tests.integration.analytics.delivery.rig import SECRET, Rig, until
from tests.integration.analytics.delivery.server import ReceiverServer, serving
from tests.unit.analytics.notices import notice


def every_kind(rig: Rig, server: ReceiverServer) -> None:
    """A receiver of each kind over HTTP."""
    rig.environ["SLACK_URL"] = f"{server.url}/slack/T/B/s3cret"
    rig.receiver("slack", kind="slack", url="${env:SLACK_URL}", allow_http=True)
    rig.receiver("pager", kind="pagerduty", routing_key="${env:PAGERDUTY_KEY}", url=f"{server.url}/pagerduty", allow_http=True)
    rig.receiver("prometheus", kind="alertmanager", url=f"{server.url}/am", allow_http=True)
    rig.webhook("program", f"{server.url}/webhook/a")


async def test_an_alert_arrives_at_every_receiver_from_its_beginning_to_its_end(rig: Rig, server: ReceiverServer) -> None:
    every_kind(rig, server)
    for event in ("firing", "acknowledged", "resolved"):
        await rig.tell(notice(event=event))
    async with rig.running():
        await until(lambda: rig.all_ended(12), "all are told")
    assert {row["state"] for row in await rig.rows()} == {"sent"}
    assert len(server.got["/slack/T/B/s3cret"]) == 3
    assert server.incidents == {"tollbook/alr_1": "resolve"}
    assert [each["event_action"] for each in server.got["/pagerduty"]] == ["trigger", "acknowledge", "resolve"]
    assert server.alerts["alr_1"]["endsAt"] == notice(event="resolved").resolved_at.isoformat()  # type: ignore[union-attr]
    events = [each["type"] for each in server.got["/webhook/a"]]
    assert events == ["alert.firing", "alert.acknowledged", "alert.resolved"]
    assert not [name for name in server.got if name.endswith("refused")]


async def test_a_change_is_written_down_once_and_only_with_the_change_itself(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    await rig.tell(notice())
    await rig.tell(notice())
    async with rig.pool.connection() as connection, connection.transaction(force_rollback=True):
        assert await put(connection, notice("alr_undone"), ["program"]) == 1
    assert [row["alert_id"] for row in await rig.rows()] == ["alr_1"]


async def test_an_end_waits_for_its_beginning_while_other_alerts_go_on(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.faults["/webhook/a"].extend(["500", "503", "reset"])
    await rig.tell(notice())
    await rig.tell(notice(event="resolved"))
    async with rig.running():
        await until(lambda: rig.all_ended(2), "both are told")
    assert [each["type"] for each in server.got["/webhook/a"]] == ["alert.firing", "alert.resolved"]
    first, second = await rig.rows()
    assert (first["attempts"], second["attempts"]) == (4, 1)
    assert (await rig.how("program"))["failures"] == 0


async def test_a_message_that_is_sent_again_has_the_same_id(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.before_reply = lambda _: server.faults["/webhook/a"].append("500") if server.asked["/webhook/a"] == 0 else None
    await rig.tell(notice())
    async with rig.running():
        await until(lambda: rig.all_ended(1), "it is told")
    (row,) = await rig.rows()
    assert server.ids["/webhook/a"] == [str(row["delivery_id"])]


@pytest.mark.parametrize(("fault", "least_s"), [("429 300", 300), ("503", 0.5)])
async def test_a_receiver_that_is_not_well_is_left_alone_for_as_long_as_it_asks_or_a_little(
    rig: Rig, server: ReceiverServer, fault: str, least_s: float
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.always["/webhook/a"] = fault
    await rig.storm(3)
    begun = now()

    async def tried() -> list[dict[str, Any]]:
        return [row for row in await rig.rows(claim=None) if row["attempts"]]

    async with rig.running():
        rows = await until(tried, "one is tried")
    assert all(row["next_at"] - begun >= timedelta(seconds=least_s) for row in rows)
    assert (await rig.how("program"))["paused_until"] - begun >= timedelta(seconds=least_s)
    assert "broken as told" in rows[0]["reason"]


async def test_while_a_receiver_asks_for_patience_nothing_else_is_sent_to_it(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    rig.webhook("other", f"{server.url}/webhook/other")
    server.faults["/webhook/a"].append("429 300")
    await rig.storm(3)
    async with rig.running():
        await until(lambda: len(server.got["/webhook/other"]) == 3, "the other is told")
        await until(lambda: rig.rows(receiver="program", status=429), "it asked for patience")
    assert server.asked["/webhook/a"] == 1


async def test_a_receiver_that_never_answers_holds_up_nobody_else(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("dead", f"{server.url}/webhook/dead")
    rig.webhook("alive", f"{server.url}/webhook/alive")
    server.always["/webhook/dead"] = "hang"
    await rig.storm(20)
    rig.timeout_s = 300.0
    async with rig.running() as (delivery,):
        await until(lambda: len(server.got["/webhook/alive"]) == 20, "the other is told of everything")
        await until(lambda: server.asked["/webhook/dead"], "it is asked")
        assert server.asked["/webhook/dead"] == 1
        for each in delivery._tasks.values():
            each.cancel()


async def test_no_reply_in_time_is_tried_again(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.always["/webhook/a"] = "hang"
    rig.timeout_s = 0.3
    await rig.tell(notice())
    async with rig.running():
        await until(lambda: rig.rows(state="waiting", reason="no reply within 0.3 s"), "it is given no time")
        del server.always["/webhook/a"]
        rig.timeout_s = 20.0
    async with rig.running():
        await until(lambda: rig.all_ended(1), "it is told")


async def test_a_receiver_that_is_not_there_is_tried_again(rig: Rig) -> None:
    rig.webhook("program", f"http://localhost:{free_port()}/")
    await rig.tell(notice())
    async with rig.running():
        (row,) = await until(lambda: rig.rows(claim=None, attempts=2), "it is tried twice")
    assert row["state"] == "waiting"
    assert row["reason"].startswith("no connection:")


async def test_what_is_refused_for_good_is_given_up_with_its_reason_and_the_next_goes_on(
    rig: Rig, server: ReceiverServer
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.faults["/webhook/a"].append("404")
    await rig.tell(notice())
    await rig.tell(notice(event="resolved"))
    async with rig.running():
        await until(lambda: rig.all_ended(2), "both ended")
    first, second = await rig.rows()
    assert (first["state"], first["status"], first["reason"]) == ("failed", 404, "HTTP 404: broken as told")
    assert second["state"] == "sent"


async def test_a_reply_that_sends_elsewhere_is_not_followed(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    server.always["/webhook/a"] = f"307 {server.url}/webhook/elsewhere"
    await rig.tell(notice())
    async with rig.running():
        await until(lambda: rig.all_ended(1), "it ended")
    assert server.asked["/webhook/elsewhere"] == 0
    assert (await rig.rows())[0]["state"] == "failed"


async def test_nothing_is_sent_to_where_a_cloud_hands_out_credentials(rig: Rig) -> None:
    rig.webhook("program", "http://169.254.169.254/latest/meta-data")
    await rig.tell(notice())
    async with rig.running():
        await until(lambda: rig.all_ended(1), "it ended")
    (row,) = await rig.rows()
    assert (row["state"], row["reason"]) == ("failed", "it lives at an address that nothing is sent to")


async def test_a_storm_is_a_few_messages_of_which_the_last_counts_the_rest(rig: Rig, server: ReceiverServer) -> None:
    rig.environ["SLACK_URL"] = f"{server.url}/slack"
    rig.receiver("slack", kind="slack", url="${env:SLACK_URL}", allow_http=True, per_minute=5)
    await rig.storm(37)
    async with rig.running():
        await until(lambda: rig.all_ended(37), "all are told")
    messages = server.got["/slack"]
    assert len(messages) == 5
    assert "and 23 more" in str(messages[-1])
    assert {row["state"] for row in await rig.rows()} == {"sent"}
    assert len({row["message_id"] for row in await rig.rows()}) == 5


async def test_a_pager_gets_each_incident_in_its_turn_and_no_more_than_it_takes(rig: Rig, server: ReceiverServer) -> None:
    address = {"url": f"{server.url}/pagerduty", "allow_http": True}
    rig.receiver("pager", kind="pagerduty", routing_key="${env:PAGERDUTY_KEY}", per_minute=5, **address)
    await rig.storm(12)
    async with rig.running():

        async def paused() -> bool:
            return (await rig.how("pager")).get("paused_until") is not None

        await until(paused, "the minute is full")
        assert len(server.got["/pagerduty"]) == 5
        await rig.change("UPDATE analytics.delivery_receiver SET recent = '{}', paused_until = NULL")
        await until(lambda: len(server.got["/pagerduty"]) == 10, "the next minute")
        await rig.change("UPDATE analytics.delivery_receiver SET recent = '{}', paused_until = NULL")
        await until(lambda: rig.all_ended(12), "the rest")
    assert len(server.incidents) == 12


async def test_alertmanager_gets_a_storm_in_one_call(rig: Rig, server: ReceiverServer) -> None:
    rig.receiver("prometheus", kind="alertmanager", url=server.url, allow_http=True)
    await rig.storm(50)
    async with rig.running():
        await until(lambda: rig.all_ended(50), "all are told")
    assert len({row["message_id"] for row in await rig.rows()}) == 1
    assert len(server.alerts) == 50


STILL_OPEN = """
INSERT INTO analytics.alert (
    alert_id, rule, subject_kind, subject_id, signal, account_id, state, opened_at, fired_at, document, updated_at
) VALUES ('{alert_id}', 'r', 'key', 'k', 's', '', 'acknowledged', now(), now(), '{{}}', now())
"""


async def test_alertmanager_is_told_again_of_what_still_fires_and_of_nothing_that_is_over(
    rig: Rig, server: ReceiverServer
) -> None:
    events = ["firing", "resolved"]
    rig.receiver("prometheus", kind="alertmanager", url=server.url, allow_http=True, events=events)
    await rig.storm(2)
    await rig.tell(notice("alr_0", "acknowledged"))
    await rig.tell(notice("alr_1", "resolved"))
    old = str(new_id())
    await rig.tell(notice(old))
    async with rig.running():
        await until(lambda: rig.all_ended(5), "all are told")
    await rig.change("UPDATE analytics.delivery SET created_at = created_at - interval '8 days' WHERE alert_id <> 'alr_0'")
    await rig.change(STILL_OPEN.format(alert_id=old))
    server.alerts.clear()
    async with rig.running():  # which keeps house first
        await until(lambda: server.alerts, "it is told again")
    assert set(server.alerts) == {"alr_0", old}


async def test_a_receiver_is_told_only_of_the_events_that_it_asked_for(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a", events=["firing", "resolved"])
    for event in ("firing", "acknowledged", "resolved"):
        await rig.tell(notice(event=event))
    async with rig.running():
        await until(lambda: rig.all_ended(3), "all ended")
    assert [row["state"] for row in await rig.rows()] == ["sent", "skipped", "sent"]
    assert [each["type"] for each in server.got["/webhook/a"]] == ["alert.firing", "alert.resolved"]


async def test_a_variable_that_is_not_set_is_named_and_waited_for(rig: Rig, server: ReceiverServer) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    del rig.environ["WEBHOOK_SECRET"]
    await rig.tell(notice())
    async with rig.running():
        (row,) = await until(lambda: rig.rows(claim=None, attempts=1), "it is tried")
        assert "WEBHOOK_SECRET is not set" in row["reason"]
        rig.environ["WEBHOOK_SECRET"] = SECRET
        await until(lambda: rig.all_ended(1), "it is told")
    assert len(server.got["/webhook/a"]) == 1


async def test_no_secret_reaches_a_log_or_the_database(rig: Rig, server: ReceiverServer) -> None:
    every_kind(rig, server)
    rig.receiver("prometheus", kind="alertmanager", url=server.url, allow_http=True, bearer_token="${env:ALERT_TOKEN}")
    rig.environ["ALERT_TOKEN"] = "s3cret-bearer-token"
    for path in ("/slack/T/B/s3cret", "/pagerduty", "/api/v2/alerts", "/webhook/a"):
        server.always[path] = "echo"
    await rig.tell(notice())
    with capture_logs() as logs:
        async with rig.running():
            await until(lambda: rig.all_ended(4), "all are refused")
    seen = str(logs) + str(await rig.rows()) + "".join([str(await rig.how(name)) for name in rig.receivers])
    for secret in rig.environ.values():
        assert secret not in seen
    assert "[redacted]" in seen


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(rig: Rig) -> None:
    authority = trustme.CA()
    offered = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(offered)
    async with serving(ReceiverServer(SECRET), offered) as server:
        rig.webhook("program", f"{server.url}/webhook/a")
        await rig.tell(notice())
        async with rig.running():
            (row,) = await until(lambda: rig.rows(claim=None, attempts=1), "it is tried")
        assert row["reason"].startswith("its certificate is not trusted")
        assert server.asked == {}
        rig.tls = ssl.create_default_context()
        authority.configure_trust(rig.tls)
        async with rig.running():
            await until(lambda: rig.all_ended(1), "it is told where the authority is trusted")
