"""Every admin call that the services' OpenAPI documents list, by everybody, in the own account and in another's."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from jsonschema import Draft202012Validator

from deploy.local.environment import load_secrets
from deploy.local.stack import Stack
from tests.e2e.access_rows import ANALYTICS, EDGE, ROUTER, SETTLEMENT, Row, rows
from tests.e2e.access_world import Person, Root, Routes, World, people, person, queries
from tests.integration.settlement.processes import until

TABLE = rows(EDGE, ROUTER, SETTLEMENT, ANALYTICS)
SERVICES = ("edge", "router", "settlement", "analytics")
VERBS = ("get", "post", "put", "patch", "delete")
FOREIGN = {
    "account_not_found", "project_not_found", "key_not_found", "user_not_found", "grant_not_found", "alert_not_found",
    "silence_not_found",
}  # fmt: skip
"""What is said of an account's things to whoever has no role in it."""
BOOK = "settlement POST /admin/price-books"
LIVE = "analytics GET /admin/requests/live"
BESIDE = {
    "request_not_found", "receipt_not_found", "run_not_found", "dispute_not_found", "dead_letter_not_found", "audit_not_found",
    "audit_running", "case_closed", "price_book_counts", "alert_rules_not_found", "receiver_not_found",
}  # fmt: skip
"""What a call that may be made is answered where what it names is not there, or was done already."""
DECIDED = {
    "edge": (
        "access_token", "account", "admin_reply", "admin_user", "api_key", "audit_entry", "change", "project", "role_grant",
    ),
    "analytics": ("audit_entry", "silence"),
    "router": ("audit_entry", "channel_freeze", "channel_key", "route_table"),
    "settlement": (
        "admin_reply", "audit_entry", "case_change", "dispute", "envelope", "fx_rate", "price_book", "price_withdrawal",
    ),
}  # fmt: skip
"""Tables that change by decisions alone; each decision has a row in an `audit_entry` too."""
MOVED = ("settlement.txn", "settlement.bucket_balance", 'settlement."case"')
"""Tables that traffic changes as well: only the rows of the two accounts are looked at."""
DIGEST = """
    select md5(string_agg(r, '' order by r))
    from (select (to_jsonb(t) - 'last_used_on')::text r from {} t where %(holders)s::text[] is null or {} = any(%(holders)s)) d
"""


@dataclass(frozen=True)
class Call:
    """One admin call as its service describes it."""

    name: str
    document: dict[str, Any]
    described: dict[str, Any]

    @property
    def service(self) -> str:
        return self.name.split()[0]

    @property
    def required(self) -> list[str]:
        """The query's parameters that cannot be left out."""
        return [each["name"] for each in self.described.get("parameters", ()) if each["in"] == "query" and each["required"]]

    def require_described(self, reply: httpx.Response) -> None:
        """The reply is one that OpenAPI announces, with the members that it names."""
        told = self.described["responses"].get(str(reply.status_code))
        assert told is not None, f"{self.name} answered {reply.status_code}, which OpenAPI does not name: {reply.text[:300]}"
        schema = told.get("content", {}).get("application/json", {}).get("schema")
        if schema and reply.headers["content-type"] == "application/json":
            Draft202012Validator({**schema, "components": self.document["components"]}).validate(reply.json())


@dataclass(frozen=True)
class Rig:
    """The running stack, two accounts, and everybody who tries."""

    root: Root
    dsn: str
    calls: list[Call]
    own: World
    other: World
    people: dict[str, Person]
    routes: Routes
    prices: Any

    def told(self) -> list[tuple[Call, Row]]:
        """Every call that has a row."""
        return [(call, TABLE[call.name]) for call in self.calls if call.name in TABLE]

    def ask(self, call: Call, world: World, token: str | None, *, fresh: bool, caller: Person | None = None) -> httpx.Response:
        """Make the call about the world's account."""
        _, method, path = call.name.split()
        places = world.places(call.name, fresh=fresh)
        if path.startswith("/admin/me/") and "{token_id}" in path and caller is not None:
            url, headers = f"{self.root.stack['edge_url']}/admin/me/tokens", {"authorization": f"Bearer {caller.token}"}
            places["token_id"] = self.root.http.post(url, json={"name": "x"}, headers=headers).json()["token_id"]
        values = queries(world.account_id)
        sent: dict[str, Any] = {"params": {name: values[name] for name in call.required}}
        if call.name.startswith(BOOK) and "{" not in path:
            sent["json"] = self.prices
        elif (body := world.body(call.name) or self.routes.body(call.name)) is not None:
            sent["json"] = body
        if fresh and method == "DELETE":
            self.routes.put()
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        url = self.root.stack[f"{call.service}_url"] + path.format(**places)
        if call.name == LIVE:
            with self.root.http.stream(method, url, headers=headers, **sent) as reply:
                if reply.status_code != 200:
                    reply.read()
                return reply
        return self.root.http.request(method, url, headers=headers, **sent)

    def state(self) -> dict[str, str]:
        """A digest of what was decided, and of what moved in the two accounts."""
        tables: list[tuple[str, str, list[str] | None]] = [
            (f"{schema}.{table}", "''", None) for schema, names in DECIDED.items() for table in names
        ]
        tables += [(table, "holder", [self.own.account_id, self.other.account_id]) for table in MOVED]
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            found = {}
            for table, column, holders in tables:
                row = connection.execute(DIGEST.format(table, column).encode(), {"holders": holders}).fetchone()
                found[table] = str(row and row[0])
            return found


def calls_of(root: Root) -> Iterator[Call]:
    """Every admin call that the services describe."""
    for service in SERVICES:
        document = root.get(service, "/admin/openapi.json")
        for path, verbs in document["paths"].items():
            whole = path if path.startswith("/admin/") else f"/admin{path}"
            for verb in VERBS:
                if verb in verbs:
                    yield Call(f"{service} {verb.upper()} {whole}", document, verbs[verb])


@pytest.fixture(scope="module")
def rig(described: dict[str, Any], running: Stack) -> Iterator[Rig]:
    """The stack of all end-to-end tests, with accounts and users of this module's own."""
    with httpx.Client(timeout=60, trust_env=False) as http:
        root = Root(described, http, load_secrets(running.home)["TOLLBOOK_ANALYTICS_TOKEN"])
        own, other = World(root), World(root)
        prices = root.get("settlement", "/admin/price-books/current")["book"]
        routes, calls, users = Routes(root), list(calls_of(root)), people(root, own.account_id)
        yield Rig(root, described["postgres_dsn"], calls, own, other, users, routes, prices)
        routes.take_away()
        checks = "/admin/ledger/checks"
        until(lambda: all(each["state"] != "running" for each in root.get("settlement", checks)["data"]), timeout_s=120)


def code_of(reply: httpx.Response) -> str | None:
    """The code of an error, None where there is none to read."""
    return None if reply.is_success else str(reply.json()["error"]["code"])


def sides(rig: Rig, row: Row) -> list[tuple[World, bool]]:
    """The accounts that a call can be about."""
    return [(rig.own, True), (rig.other, False)] if row.scope == "tenant" else [(rig.own, True)]


def test_every_call_has_a_row_and_every_row_a_call(rig: Rig) -> None:
    assert sorted(call.name for call in rig.calls) == sorted(TABLE)


def test_whoever_may_not_is_refused_and_nothing_changes(rig: Rig) -> None:
    wrong = {}
    before = rig.state()
    for call, row in rig.told():
        for name, someone in rig.people.items():
            for world, own in sides(rig, row):
                expected = row.refusal(None if name == "nobody" else name, own=own)
                if expected is None:
                    continue
                reply = rig.ask(call, world, someone.token, fresh=False)
                good = code_of(reply) == "role_not_allowed" if expected == 403 else code_of(reply) in FOREIGN
                if reply.status_code != expected or not good:
                    wrong[f"{call.name} by {name}, own={own}"] = (reply.status_code, expected, reply.text[:200])
    assert wrong == {}
    after = rig.state()
    assert {table for table in before if before[table] != after[table]} == set()


def test_whoever_presents_nothing_that_counts_is_not_let_in_and_nothing_changes(rig: Rig) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=8)).isoformat().replace("+00:00", "Z")
    revoked, expired = person(rig.root, "operator", None), person(rig.root, "operator", None, expires_at=soon)
    revoke = f"/admin/users/{revoked.user_id}/tokens/{revoked.token_id}/revoke"
    rig.root.post("edge", revoke, {})
    headers = {"authorization": f"Bearer {expired.token}"}
    me = f"{rig.root.stack['edge_url']}/admin/me"
    until(lambda: rig.root.http.get(me, headers=headers).status_code == 401)
    operator = rig.people["operator"].token
    forged = operator[:-1] + ("a" if operator[-1] != "a" else "b")
    tokens = {"none": None, "revoked": revoked.token, "expired": expired.token, "forged": forged, "API key": rig.own.api_key}
    wrong = {}
    before = rig.state()
    for call, _ in rig.told():
        for kind, token in tokens.items():
            reply = rig.ask(call, rig.own, token, fresh=False)
            if reply.status_code != 401 or code_of(reply) not in {"invalid_api_key", "unauthorized", "invalid_token"}:
                wrong[f"{call.name} with {kind}"] = (reply.status_code, reply.text[:200])
    assert wrong == {}
    after = rig.state()
    assert {table for table in before if before[table] != after[table]} == set()


def test_whoever_may_is_let_through_and_answered_as_described(rig: Rig) -> None:
    wrong = {}
    for call, row in rig.told():
        for name, someone in rig.people.items():
            for world, own in sides(rig, row):
                if row.refusal(None if name == "nobody" else name, own=own) is not None:
                    continue
                reply = rig.ask(call, world, someone.token, fresh=True, caller=someone)
                if not reply.is_success and code_of(reply) not in BESIDE:
                    wrong[f"{call.name} by {name}, own={own}"] = (reply.status_code, reply.text[:200])
                elif call.name != LIVE:
                    call.require_described(reply)
    assert wrong == {}


def test_a_list_shows_nothing_of_another_account(rig: Rig) -> None:
    for call, row in rig.told():
        if row.scope != "list" or call.name == LIVE:
            continue
        for name in sorted(row.roles - {"operator", "on-call"}):
            url = rig.root.stack[f"{call.service}_url"] + call.name.split()[2]
            headers = {"authorization": f"Bearer {rig.people[name].token}"}
            seen = rig.root.http.get(url, params={"limit": 500}, headers=headers)
            assert seen.status_code == 200, call.name
            assert rig.other.account_id not in seen.text, call.name
            if any(each["name"] == "account_id" for each in call.described.get("parameters", ())):
                asked = {"account_id": rig.other.account_id}
                refused = rig.root.http.get(url, params=asked, headers=headers)
                assert (refused.status_code, code_of(refused)) == (404, "account_not_found"), call.name


def test_another_account_is_refused_in_the_words_of_one_that_does_not_exist(rig: Rig) -> None:
    headers = {"authorization": f"Bearer {rig.people['owner'].token}"}
    for call, row in rig.told():
        service, method, path = call.name.split()
        if row.scope != "tenant" or method != "GET":
            continue
        url = rig.root.stack[f"{service}_url"] + path
        texts = []
        for account in (rig.other.account_id, "acc_ThatDoesNotExist"):
            values = queries(account)
            about = account if "{account_id}" in path or "/accounts/" in path else None
            if about is None and "account_id" not in call.required:
                break
            places = rig.other.places(call.name, fresh=False) | {"account_id": account, "entity_id": account}
            reply = rig.root.http.get(
                url.format(**places), params={name: values[name] for name in call.required}, headers=headers
            )
            texts.append(reply.text.replace(account, "…"))
        assert len(set(texts)) <= 1, call.name
