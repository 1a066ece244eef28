"""Requests as they end, watched over HTTP."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import orjson

from schemas.attempts import RequestCompleted
from schemas.envelope import Event
from schemas.money import format_amount
from schemas.requests import RequestRejected
from tests.edge_of_users import SERVICE_TOKEN, running_edge
from tests.integration.analytics.process import ADMIN_TOKEN, Analytics, running, until
from tests.integration.analytics.stories import publish, stories

LIVE = "/admin/requests/live"


class Watching:
    """A reader of the stream, in a thread of its own."""

    def __init__(self, url: str, *, token: str = ADMIN_TOKEN, **filters: str) -> None:
        self.events: list[tuple[str, Any]] = []
        self._filters = filters
        self._client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60)
        self._thread = threading.Thread(target=self._read)

    def lines(self) -> list[dict[str, Any]]:
        """The requests that came so far."""
        return [data for name, data in self.events if name == "request"]

    def named(self, name: str) -> bool:
        """Whether an event of this name came."""
        return any(each == name for each, _ in self.events)

    def _read(self) -> None:
        with self._client, self._client.stream("GET", LIVE, params=self._filters) as response:
            assert response.status_code == 200, response.read()
            name = ""
            try:
                for line in response.iter_lines():
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        self.events.append((name, orjson.loads(line.removeprefix("data: "))))
            except httpx.TransportError:
                self.events.append(("cut", None))

    @contextmanager
    def reading(self) -> Iterator["Watching"]:
        """Read until the stream ends."""
        self._thread.start()
        until(lambda: self.named("watching"), "the stream has begun")
        yield self

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join(60)
        assert not self._thread.is_alive()


def ends_of(events: list[Event]) -> dict[str, RequestCompleted | RequestRejected]:
    """The event with which each request ended, by the request."""
    return {str(event.request_id): event for event in events if isinstance(event, RequestCompleted | RequestRejected)}


async def test_a_watcher_sees_every_request_once_as_it_ends_and_nothing_from_before(
    analytics: Analytics, kafka_bootstrap_servers: str
) -> None:
    before = [event for story in stories(20, seed=3) for event in story]
    after = [event for story in stories(120, seed=4) for event in story]
    await publish(kafka_bootstrap_servers, before)
    with running_edge() as edge, running(analytics.asking(edge.url, SERVICE_TOKEN)):
        analytics.wait_until_ready()
        member = edge.user("Ada", "member", "acc_1")
        everything = Watching(analytics.url)
        one_account = Watching(analytics.url, account_id="acc_1")
        one_key = Watching(analytics.url, key_id="key000200001")
        errors = Watching(analytics.url, errors="true")
        model = Watching(analytics.url, model="gpt-4o-mini")
        own = Watching(analytics.url, token=member)
        with everything.reading(), one_account.reading(), one_key.reading(), errors.reading(), model.reading(), own.reading():
            await publish(kafka_bootstrap_servers, after)
            expected = ends_of(after)
            until(lambda: len(everything.lines()) >= len(expected), "every request is shown")
            metrics = analytics.get("/metrics").text
            until(lambda: len(own.lines()) == len(one_account.lines()) > 0, "a user sees the own account")
            assert analytics.get(LIVE, token=member, account_id="acc_2").status_code == 404
            refuses_one_more(analytics, member)
            edge.users[member] = edge.users[member].model_copy(update={"active": False})
            until(lambda: own.named("ended"), "the stream ends with the token")
            assert analytics.get(LIVE, account_id="").json()["error"]["param"] == "account_id"
            assert analytics.stop() == 0, "a stream does not hold up the end of the process"
        for watching in (everything, one_account, one_key, errors, model, own):
            watching.join()
            assert watching.events[-1][0] == "ended"
        assert "tollbook_analytics_watchers 6.0" in metrics
        assert sorted(line["request_id"] for line in everything.lines()) == sorted(expected)
        assert {line["account_id"] for line in own.lines()} == {"acc_1"}
        check_lines(everything.lines(), expected)
        check_filters(everything.lines(), {"account_id": one_account, "key_id": one_key, "errors": errors, "model": model})


def refuses_one_more(analytics: Analytics, member: str) -> None:
    """A user who watches as often as one may is refused with words, others are not."""
    with ExitStack() as held:
        while True:
            stream = held.enter_context(
                httpx.stream("GET", analytics.url + LIVE, headers={"authorization": f"Bearer {member}"})
            )
            if stream.status_code != 200:
                break
        error = orjson.loads(stream.read())["error"]
        assert (stream.status_code, error["code"], error["type"]) == (429, "too_many_watchers", "rate_limit_error")
        with httpx.stream("GET", analytics.url + LIVE, headers={"authorization": f"Bearer {ADMIN_TOKEN}"}) as other:
            assert other.status_code == 200


def check_lines(lines: list[dict[str, Any]], expected: dict[str, RequestCompleted | RequestRejected]) -> None:
    """A line says what its event says."""
    assert {line["outcome"] for line in lines} >= {"succeeded", "rejected"}
    for line in lines:
        event = expected[line["request_id"]]
        assert (line["account_id"], line["key_id"]) == (event.account_id, event.data.key.key_id)
        if isinstance(event, RequestRejected):
            assert (line["outcome"], line["error"], line["http_status"]) == ("rejected", "model_not_found", 404)
            assert "no such model" not in str(line)
            continue
        data = event.data
        assert (line["attempts"], len(line["fallbacks"])) == (len(data.attempts), len(data.fallbacks))
        assert (line["bucket"], line["currency"]) == (data.bucket, data.currency)
        assert line["cost"] == (None if data.cost_nano is None else format_amount(data.cost_nano))
        assert line["channel"] in {attempt.channel for attempt in data.attempts}


def check_filters(everything: list[dict[str, Any]], watched: dict[str, Watching]) -> None:
    """Each watcher saw what it asked for, all of it and nothing else."""
    wanted = {
        "account_id": [line["request_id"] for line in everything if line["account_id"] == "acc_1"],
        "key_id": [line["request_id"] for line in everything if line["key_id"] == "key000200001"],
        "errors": [line["request_id"] for line in everything if line["outcome"] != "succeeded"],
        "model": [line["request_id"] for line in everything if "gpt-4o-mini" in (line["model"], line["answered_model"])],
    }
    for name, watching in watched.items():
        assert wanted[name], name
        assert sorted(line["request_id"] for line in watching.lines()) == sorted(wanted[name]), name
