"""A local server that takes alerts as Slack, PagerDuty, Alertmanager and a signed webhook do, and breaks when it is told to."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from slack_sdk.errors import SlackObjectFormationError
from standardwebhooks import WebhookVerificationError

from tests.receivers import NotTakenError, alertmanager_alerts, pagerduty_event, signed_webhook, slack_message


@dataclass
class ReceiverServer:
    """What each path got, in order. `faults` of a path are used up one by one; `always` holds until it is taken away."""

    secret: str
    url: str = ""
    got: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    faults: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, str] = field(default_factory=dict)
    incidents: dict[str, str] = field(default_factory=dict)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    before_reply: Callable[[str], None] = field(default=lambda _: None)

    def app(self) -> web.Application:
        """The routes: `/slack/…`, `/pagerduty`, `/…/api/v2/alerts`, `/webhook/…`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        return app

    def has(self, path: str, number: int) -> bool:
        """Whether the path got so many messages."""
        return len(self.got[path]) >= number

    async def _take(self, request: web.Request) -> web.StreamResponse:
        path = f"/{request.match_info['path']}"
        self.asked[path] += 1
        fault = self.always.get(path) or (self.faults[path].popleft() if self.faults[path] else "")
        if fault:
            return await self._break(request, fault)
        if request.method != "POST" or request.content_type != "application/json":
            return web.Response(status=405)
        try:
            reply = self._understand(path, await request.read(), dict(request.headers))
        except (NotTakenError, WebhookVerificationError, SlackObjectFormationError, ValueError) as error:
            self.got[f"{path} refused"].append(str(error))
            return web.Response(status=400, text=str(error))
        self.before_reply(path)
        return reply

    async def _break(self, request: web.Request, fault: str) -> web.StreamResponse:
        status, _, more = fault.partition(" ")
        if status == "hang":
            await asyncio.sleep(3_600)
        if status == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if status == "echo":
            return web.Response(status=400, text=f"cannot post {request.url} {dict(request.headers)} {await request.text()}")
        headers = {"retry-after": more} if status == "429" else {"location": more} if status.startswith("3") else {}
        return web.Response(status=int(status), headers=headers, text="broken as told")

    def _understand(self, path: str, body: bytes, headers: dict[str, str]) -> web.Response:
        if path.startswith("/slack"):
            self.got[path].append(slack_message(orjson.loads(body)))
            return web.Response(text="ok")
        if path.startswith("/pagerduty"):
            event = pagerduty_event(orjson.loads(body))
            self.got[path].append(event)
            self.incidents[event["dedup_key"]] = event["event_action"]
            told = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
            return web.json_response(told, status=202)
        if path.endswith("/api/v2/alerts"):
            for alert in alertmanager_alerts(orjson.loads(body)):
                self.got[path].append(alert)
                self.alerts[alert["labels"]["alert_id"]] = alert
            return web.Response()
        self.got[path].append(signed_webhook(body, headers, self.secret))
        self.ids[path].append(headers["webhook-id"])
        return web.Response(status=204)


@asynccontextmanager
async def serving(server: ReceiverServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[ReceiverServer]:
    """The server on a free port, until the block ends."""
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"{'http' if tls is None else 'https'}://localhost:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
