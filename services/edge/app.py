"""The edge's only wiring: settings, stores, clients, endpoints, the server."""

import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
import uvloop
from fastapi import APIRouter
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from schemas import topics
from schemas.control import ControlRecord
from services.edge.access_rules import AccessRules
from services.edge.access_token_store import AccessTokenStore
from services.edge.account_reading import account_reading_routes
from services.edge.admin import Admin
from services.edge.admin_app import admin_app
from services.edge.admin_replies import AdminReplies
from services.edge.admin_routes import admin_routes
from services.edge.admin_store import AdminStore
from services.edge.announcing import Announcer
from services.edge.api_keys import Peppers
from services.edge.audit_log import audit_routes
from services.edge.authentication import Authenticator
from services.edge.background import Background
from services.edge.batch_outbox import BatchOutbox
from services.edge.batches import Batches
from services.edge.bodies import BodyReader
from services.edge.broker import Broker
from services.edge.claims import Claims
from services.edge.client_address import ClientAddresses
from services.edge.completions import Completions
from services.edge.control_feed import ControlFeed
from services.edge.control_outbox import ControlOutbox
from services.edge.database import Database
from services.edge.dispatch import ByMethod, Dispatch, OnlyMethods
from services.edge.estimates import Estimates
from services.edge.file_store import FileStore
from services.edge.files import Files
from services.edge.health import Health, MetricsPage
from services.edge.housekeeping import keep_house
from services.edge.identities import Identities
from services.edge.internal_api import AccountsEndpoint, KeyEndpoint
from services.edge.introspection import IntrospectEndpoint
from services.edge.key_admin import KeyAdmin, key_admin_routes
from services.edge.key_cache import KeyCache
from services.edge.key_store import KeyStore
from services.edge.logs import configure_logs
from services.edge.lookups import Answer, LookupEndpoint, Lookups, PublicEndpoint
from services.edge.me import me_routes
from services.edge.memberships import memberships_of
from services.edge.model_apis import MODEL_APIS, ModelApi
from services.edge.pace_redis import RedisWindows
from services.edge.pace_windows import MemoryWindows
from services.edge.pacer import Pacer
from services.edge.peers import client, transport
from services.edge.public_api.endpoint import OpenApiPage
from services.edge.publisher import Publisher
from services.edge.rejections import AnalyticsRejections, NoRejections, Rejections
from services.edge.route_plans import RoutePlans, route_plan_routes
from services.edge.router import Router
from services.edge.router_batches import RouterBatches
from services.edge.runs import Runs
from services.edge.serving import Server, inherited, until_ready
from services.edge.settings import Settings
from services.edge.settlement import Settlement
from services.edge.stored_replies import ReplySafe
from services.edge.uploads import UploadReader
from services.edge.usage import Usage
from services.edge.user_admin import UserAdmin, user_routes
from services.edge.user_rules import UserRules
from services.edge.users import UserStore
from services.edge.webhooks import StripeWebhook

PEER_TIMEOUT_S = 5.0
TOKEN_BODY_BYTES = 4096
SMALL_BODY_BYTES = 256 * 1024
"""The most that a run or an estimate needs."""
FLUSH_TIMEOUT_S = 10.0


class Edge:
    """Everything that one edge process is made of. Needs a running loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.broker = Broker(settings.kafka_bootstrap_servers)
        self.peppers = Peppers(settings.peppers())
        self.addresses = ClientAddresses(settings.trusted_proxies(), settings.tollbook_forwarded_header)
        self.cache = KeyCache()
        edge_token = settings.tollbook_edge_token.get_secret_value()
        self.peer = client(settings.tollbook_settlement_url, edge_token, timeout_s=PEER_TIMEOUT_S)
        self.settlement = Settlement(self.peer)
        self.memberships = memberships_of(self.settlement)
        url = settings.tollbook_analytics_url
        self.analytics = client(url, edge_token, timeout_s=PEER_TIMEOUT_S, max_connections=8) if url else None
        self.router = Router(
            transport(settings.tollbook_edge_max_in_flight),
            settings.tollbook_router_url,
            edge_token,
            timeout_s=settings.tollbook_edge_request_timeout_s,
        )
        self.publisher = Publisher(
            self.broker,
            self.settlement.ingress,
            topics.REQUESTS,
            limit=settings.tollbook_edge_max_unpublished,
            linger_s=settings.tollbook_edge_linger_ms / 1000,
        )
        self.batch_outbox = BatchOutbox(self.database, self.broker, topics.REQUESTS)
        self.router_peer = client(settings.tollbook_router_url, edge_token, timeout_s=PEER_TIMEOUT_S, max_connections=8)
        self.outbox = ControlOutbox(self.database, self.broker, topics.CONTROL)
        self.feed = ControlFeed(settings.kafka_bootstrap_servers, topics.CONTROL, self._hear, self.cache.listen)
        self.announcer = Announcer(self.database, self.feed.read_to_end, self.outbox.nudge)
        store = settings.tollbook_rate_limit_store.get_secret_value()
        self.shared_windows = RedisWindows(store) if store else None
        self.pacer = Pacer(MemoryWindows(), self.shared_windows, on_outage=settings.tollbook_rate_limit_on_outage)
        self.background = Background(on_fault=_end_process)
        self.health = Health(self.database, self.broker, self.feed, silent_s=settings.tollbook_control_silent_seconds)

    def application(self) -> Dispatch:
        """The ASGI application."""
        authenticator = Authenticator(self.cache, self.peppers, KeyStore(self.database).find, self.addresses)
        completions = {api.path: OnlyMethods(self._completions(api, authenticator), "POST") for api in MODEL_APIS}
        routes = [*self._lookups(authenticator), *self._runs(authenticator), *self._batches(authenticator), *self._operations()]
        return Dispatch(completions, routes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, and close it in the order in which nothing is lost."""
        await self.database.open()
        self.broker.start()
        self.background.start("publisher", self.publisher.run())
        self.background.start("control-feed", self.feed.run())
        self.background.start("control-outbox", self.outbox.run())
        self.background.start("announcer", self.announcer.run(), ends=True)
        self.background.start("batch-outbox", self.batch_outbox.run())
        self.background.start("housekeeping", keep_house(self.database))
        try:
            yield
        finally:
            await self.publisher.close(FLUSH_TIMEOUT_S)
            await self.background.stop()
            await self.broker.stop()
            await self.router.close()
            await self.peer.aclose()
            await self.router_peer.aclose()
            if self.analytics is not None:
                await self.analytics.aclose()
            if self.shared_windows is not None:
                await self.shared_windows.close()
            await self.database.close()

    def _completions(self, api: ModelApi, authenticator: Authenticator) -> Completions:
        settings = self.settings
        return Completions(
            authenticator,
            BodyReader(limit_bytes=settings.tollbook_edge_max_body_bytes, timeout_s=settings.tollbook_edge_body_timeout_s),
            self.router,
            self.publisher,
            Claims(
                self.database,
                ReplySafe(settings.secrets_keys()),
                longest_request_s=settings.tollbook_edge_request_timeout_s,
            ),
            api=api,
            memberships=self.memberships,
            pacer=self.pacer,
            receipt_of=self.settlement.receipt,
            max_in_flight=settings.tollbook_edge_max_in_flight,
            longest_request_s=settings.tollbook_edge_request_timeout_s,
        )

    def _lookups(self, authenticator: Authenticator) -> list[BaseRoute]:
        lookups, usage = Lookups(self.router, self.settlement, self._rejections()), Usage(self.analytics)
        answers = {
            "/v1/models": ("models", lookups.models),
            "/v1/models/{model_id:path}": ("model", lookups.model),
            "/v1/requests/{request_id}": ("receipt", lookups.receipt),
            "/v1/balances": ("balances", lookups.balances),
            "/v1/topups": ("topups", lookups.topups),
            "/v1/statements/{month}": ("statement", lookups.statement),
            "/v1/usage": ("usage", usage.report),
            "/v1/usage/explain": ("usage_explain", usage.explain),
        }
        keys = PublicEndpoint("signing_keys", lookups.signing_keys)
        return [
            Route("/v1/signing-keys", OnlyMethods(keys, "GET", "HEAD")),
            *(
                Route(path, OnlyMethods(LookupEndpoint(name, authenticator, answer), "GET", "HEAD"))
                for path, (name, answer) in answers.items()
            ),
        ]

    def _runs(self, authenticator: Authenticator) -> list[BaseRoute]:
        bodies = BodyReader(limit_bytes=SMALL_BODY_BYTES, timeout_s=self.settings.tollbook_edge_body_timeout_s)
        runs = Runs(self.settlement, self.memberships, bodies)
        estimates = Estimates(self.settlement, self.router, self.memberships, bodies)

        def endpoint(name: str, answer: Answer) -> LookupEndpoint:
            return LookupEndpoint(name, authenticator, answer)

        listed, shown = endpoint("runs", runs.listed), endpoint("run", runs.shown)
        # Closing spends nothing and gives back what was set aside: a freeze does not keep it.
        closed = LookupEndpoint("run_close", authenticator, runs.closed, frozen_may=True)
        return [
            Route("/v1/runs", ByMethod({"GET": listed, "HEAD": listed, "POST": endpoint("run_open", runs.opened)})),
            Route("/v1/runs/{run_id}", OnlyMethods(shown, "GET", "HEAD")),
            Route("/v1/runs/{run_id}/extend", OnlyMethods(endpoint("run_extend", runs.extended), "POST")),
            Route("/v1/runs/{run_id}/close", OnlyMethods(closed, "POST")),
            Route("/v1/estimate", OnlyMethods(endpoint("estimate", estimates.estimate), "POST")),
        ]

    def _batches(self, authenticator: Authenticator) -> list[BaseRoute]:
        s = self.settings
        uploads = UploadReader(limit_bytes=s.tollbook_edge_max_file_bytes, timeout_s=s.tollbook_edge_upload_timeout_s)
        bodies = BodyReader(limit_bytes=SMALL_BODY_BYTES, timeout_s=s.tollbook_edge_body_timeout_s)
        files = Files(FileStore(s.store_url()), uploads)
        router = RouterBatches(self.router_peer)
        batches = Batches(self.database, files, router, self.batch_outbox, memberships=self.memberships, bodies=bodies)

        def endpoint(name: str, answer: Answer) -> LookupEndpoint:
            return LookupEndpoint(name, authenticator, answer)

        listed, shown = endpoint("files", files.listed), endpoint("file", files.shown)
        uploaded, deleted = endpoint("file_upload", files.uploaded), endpoint("file_delete", files.deleted)
        content = endpoint("file_content", files.content)
        all_batches, created = endpoint("batches", batches.listed), endpoint("batch_create", batches.created)
        one_batch, cancelled = endpoint("batch", batches.shown), endpoint("batch_cancel", batches.cancelled)
        return [
            Route("/v1/files", ByMethod({"GET": listed, "HEAD": listed, "POST": uploaded})),
            Route("/v1/files/{file_id}", ByMethod({"GET": shown, "HEAD": shown, "DELETE": deleted})),
            Route("/v1/files/{file_id}/content", OnlyMethods(content, "GET", "HEAD")),
            Route("/v1/batches", ByMethod({"GET": all_batches, "HEAD": all_batches, "POST": created})),
            Route("/v1/batches/{batch_id}", OnlyMethods(one_batch, "GET", "HEAD")),
            Route("/v1/batches/{batch_id}/cancel", OnlyMethods(cancelled, "POST")),
        ]

    def _operations(self) -> list[BaseRoute]:
        health = self.health
        s = self.settings
        key = KeyEndpoint(s.tollbook_router_token.get_secret_value(), KeyStore(self.database).find, self.memberships)
        accounts = AccountsEndpoint(s.tollbook_settlement_token.get_secret_value(), KeyStore(self.database).has_account)
        identities = Identities(self.database, self.peppers)
        askers = (s.tollbook_settlement_token, s.tollbook_router_token, s.tollbook_analytics_token)
        introspect = IntrospectEndpoint(
            [token.get_secret_value() for token in askers],
            identities,
            BodyReader(limit_bytes=TOKEN_BODY_BYTES, timeout_s=PEER_TIMEOUT_S),
        )
        return [
            Route("/openapi.json", OnlyMethods(OpenApiPage(), "GET", "HEAD")),
            Route("/healthz", OnlyMethods(health.healthz, "GET", "HEAD")),
            Route("/readyz", OnlyMethods(health.readyz, "GET", "HEAD")),
            Route("/metrics", OnlyMethods(MetricsPage(self.cache), "GET", "HEAD")),
            Route("/webhooks/stripe", OnlyMethods(StripeWebhook(self.settlement), "POST")),
            Mount("/admin", self._admin(identities)),
            Route("/internal/introspect", OnlyMethods(introspect, "POST")),
            Route("/internal/keys/{key_id}/caller", OnlyMethods(key, "GET")),
            Route("/internal/accounts", OnlyMethods(accounts, "GET")),
        ]

    def _admin(self, identities: Identities) -> ASGIApp:
        database, peppers = self.database, self.peppers
        replies = AdminReplies(database, self.settings.secrets_keys())
        store, rules = AdminStore(database), AccessRules(database)
        admin = Admin(store, rules=rules, replies=replies, peppers=peppers, announce=self._announce, made=self.outbox.nudge)
        users = UserAdmin(
            UserStore(database),
            AccessTokenStore(database, peppers),
            rules=rules,
            may=UserRules(database, rules),
            replies=replies,
        )
        return admin_app(
            self.settings.tollbook_admin_token.get_secret_value(),
            identities,
            self.addresses,
            admin_routes(admin),
            key_admin_routes(KeyAdmin(store, replies, peppers, self._announce), rules),
            user_routes(users),
            me_routes(users),
            self._route_plans(rules),
            audit_routes(database, rules),
            account_reading_routes(self.settlement, self._rejections(), rules),
        )

    def _rejections(self) -> Rejections:
        return AnalyticsRejections(self.analytics) if self.analytics else NoRejections()

    def _route_plans(self, rules: AccessRules) -> APIRouter:
        plans = RoutePlans(KeyStore(self.database).find, self.memberships, self.router, self.settlement)
        return route_plan_routes(plans, rules)

    def _hear(self, record: ControlRecord) -> None:
        if record.kind == "price":
            self.settlement.forget_prices()
        self.cache.invalidate(record)
        self.announcer.hear(record)

    def _announce(self, record: ControlRecord) -> None:
        self.cache.invalidate(record)
        self.outbox.nudge()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT: refuse new work, finish what is under way, flush."""
    edge = Edge(settings)
    server = Server(
        uvicorn.Config(
            edge.application(),
            host=settings.tollbook_host,
            port=settings.tollbook_port,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(settings.tollbook_edge_drain_timeout_s),
        )
    )
    async with edge.running():
        # Everything made so far lives as long as the process: a full collection need not walk it (50 ms of silence each time).
        gc.collect()
        gc.freeze()
        if settings.tollbook_listen_fd is not None:
            await until_ready(edge.health.reason)
        await server.serve(inherited(settings.tollbook_listen_fd))


def main() -> None:
    """Run the edge with the settings of the environment."""
    settings = Settings()
    _hear_signals_to_the_end()
    configure_logs(settings.tollbook_log_level)
    uvloop.run(serve(settings))


def _hear_signals_to_the_end() -> None:
    """The server raises the signal that stopped it once more when it is done; the default would end the process unflushed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
