"""Every admin call of edge, as OpenAPI lists them, by every role, in the own account and in another's, against the table."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.access_table import COLUMNS, ROWS
from tests.integration.edge.account_facts import REQUEST, RUN, receipt_of, run_of
from tests.integration.edge.peers import Peers
from tests.integration.edge.people import Person, new_account, new_person, person_with
from tests.integration.edge.processes import ADMIN, EdgeProcess

VERBS = ("get", "post", "patch", "put", "delete")
NOBODY = "nobody"
OF_INSTALLATION = {"post /accounts", "post /route-plans"}
CREATED_BY_BODY = {"post /projects": "account", "post /keys": "project", "post /users": "account"}
BODIES: dict[str, Any] = {
    "post /accounts": {"name": "a"},
    "post /route-plans": {"key_id": "none", "model": "gpt-4o"},
    "patch /accounts/{entity_id}": {"name": "b"},
    "patch /projects/{entity_id}": {"name": "b"},
    "patch /keys/{entity_id}": {"name": "b"},
    "patch /users/{entity_id}": {"name": "b"},
    "post /accounts/{entity_id}/policy": {"policy": None},
    "post /projects/{entity_id}/policy": {"policy": None},
    "post /keys/{entity_id}/policy": {"policy": None},
    "post /users/{entity_id}/tokens": {"name": "t"},
    "post /me/tokens": {"name": "t"},
}
"""What a call that needs a body is sent, but for those that name an account in it."""


@dataclass(frozen=True)
class Operation:
    """One call as OpenAPI has it."""

    name: str
    permission: str
    described: dict[str, Any]

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.name.partition(" ")[2]


class World:
    """An account with everything in it, and fresh targets of calls that end something."""

    def __init__(self, edge: EdgeProcess, peers: Peers) -> None:
        self.edge = edge
        self.account = new_account(edge)
        peers.receipts[self.account, REQUEST] = receipt_of(self.account, REQUEST)
        peers.runs.runs[self.account, RUN] = run_of(self.account, RUN)
        body = {"account_id": self.account, "name": "p"}
        self.project: str = edge.admin("/projects", body).raise_for_status().json()["project_id"]

    def key(self) -> str:
        made: str = self.edge.admin("/keys", {"project_id": self.project, "name": "k"}).raise_for_status().json()["key_id"]
        return made

    def filled(self, operation: Operation, caller: Person | None) -> tuple[str, Any]:
        """The path and body of a call about this account."""
        kind = operation.path.split("/")[1]
        body = BODIES.get(operation.name)
        if operation.name in ("post /projects", "post /users"):
            role = {"role": "member", "account_id": self.account}
            body = {"account_id": self.account, "name": "p"} if kind == "projects" else {"name": "u", "grants": [role]}
        if operation.name == "post /keys":
            body = {"project_id": self.project, "name": "k"}
        if operation.path.endswith("/grants") and operation.method == "post":
            body = {"role": "billing", "account_id": self.account}
        path = operation.path
        if kind == "me":
            token = caller.post("/me/tokens", {"name": "x"}).json() if caller is not None and "{" in path else {}
            return path.replace("{token_id}", token.get("token_id", "none")), body
        if "{entity_id}" in path:
            path = self._about(path, kind)
        return path.replace("{request_id}", REQUEST).replace("{run_id}", RUN), body

    def _about(self, path: str, kind: str) -> str:
        if kind in ("accounts", "projects"):
            return path.replace("{entity_id}", self.account if kind == "accounts" else self.project)
        if kind == "keys":
            return path.replace("{entity_id}", self.key())
        person = new_person(self.edge, ("member", self.account))
        if kind == "grants":
            params = {"user_id": person.user_id}
            given = self.edge.client.get("/admin/grants", params=params, headers=ADMIN).json()["data"]
            return path.replace("{entity_id}", given[0]["grant_id"])
        return path.replace("{entity_id}", person.user_id).replace("{token_id}", person.token_id)


@pytest.fixture(scope="module")
def operations(edge: EdgeProcess) -> list[Operation]:
    """Every admin call of edge."""
    paths = edge.client.get("/admin/openapi.json", headers=ADMIN).raise_for_status().json()["paths"]
    found = [
        Operation(f"{verb} {path}", described["x-tollbook-permission"], described)
        for path, verbs in paths.items()
        for verb, described in verbs.items()
        if verb in VERBS
    ]
    assert len(found) > 30
    return found


@pytest.fixture(scope="module")
def worlds(edge: EdgeProcess, peers: Peers) -> tuple[World, World]:
    """The own account and another's."""
    return World(edge, peers), World(edge, peers)


def expected(operation: Operation, role: str, *, own: bool) -> set[int]:
    """Refused with one of these; empty: allowed."""
    if operation.permission == "any":
        return set()
    mark = ROWS[operation.permission][COLUMNS.index(role)] if role != NOBODY else "."
    if mark == "x":
        return set()
    if operation.name in OF_INSTALLATION:
        return {403}
    if "{entity_id}" not in operation.path and operation.name not in CREATED_BY_BODY:  # a list that names no account
        return set() if mark == "o" else {403}
    knows = role in ("operator", "on-call") or (own and role != NOBODY)
    if not knows:
        return {404}
    return set() if mark == "o" else {403}


@pytest.mark.parametrize("role", [*COLUMNS, NOBODY])
def test_every_call_is_answered_as_the_table_says(
    edge: EdgeProcess, operations: list[Operation], worlds: tuple[World, World], role: str
) -> None:
    caller = new_person(edge) if role == NOBODY else person_with(edge, role, worlds[0].account)
    wrong = {}
    for operation in operations:
        for own, world in zip((True, False), worlds, strict=True):
            path, body = world.filled(operation, caller)
            reply = caller.call(operation.method.upper(), path, body)
            refused = expected(operation, role, own=own)
            good = reply.status_code in refused if refused else reply.is_success or _beside_access(operation, reply)
            if not good:
                wrong[f"{operation.name} own={own}"] = (reply.status_code, refused, reply.text[:200])
            if reply.status_code == 403:
                assert reply.json()["error"]["code"] == "role_not_allowed"
    assert wrong == {}


def _beside_access(operation: Operation, reply: httpx.Response) -> bool:
    """A dry run of a key that does not exist: whoever may ask is told so."""
    return operation.name == "post /route-plans" and reply.json()["error"]["code"] == "key_not_found"


@pytest.mark.parametrize("role", ["owner", "billing", "member"])
def test_lists_show_the_own_account_alone_and_another_one_is_not_found(
    edge: EdgeProcess, operations: list[Operation], worlds: tuple[World, World], role: str
) -> None:
    own, other = worlds
    caller = person_with(edge, role, own.account)
    new_person(edge, ("member", other.account))
    for world in worlds:
        world.key()
    lists = [each for each in operations if each.method == "get" and "{" not in each.path and "next_after" in _answer(each)]
    assert {"/accounts", "/projects", "/keys", "/users", "/grants", "/audit-log"} <= {each.path for each in lists}
    for operation in lists:
        if expected(operation, role, own=True):
            continue
        text = caller.get(f"{operation.path}?limit=500").raise_for_status().text
        assert other.account not in text, operation.name
        assert own.account in text or operation.path == "/me/tokens", operation.name
        for parent, here, there in (("account_id", own.account, other.account), ("project_id", own.project, other.project)):
            if parent in {each["name"] for each in operation.described.get("parameters", ())}:
                assert caller.get(f"{operation.path}?{parent}={here}").status_code == 200
                theirs, nobodys = (caller.get(f"{operation.path}?{parent}={asked}") for asked in (there, "none"))
                assert (theirs.status_code, nobodys.status_code) == (404, 404)
                assert theirs.text.replace(there, "none") == nobodys.text


def _answer(operation: Operation) -> set[str]:
    schema = operation.described["responses"]["200"]["content"]["application/json"]["schema"]
    return {"next_after"} if "Page" in schema.get("$ref", "") else set()


def test_no_call_is_answered_without_a_token_that_counts(
    edge: EdgeProcess, operations: list[Operation], worlds: tuple[World, World]
) -> None:
    ended = person_with(edge, "operator", worlds[0].account)
    ended.post(f"/me/tokens/{ended.token_id}/revoke").raise_for_status()
    forged = ended.token[:-1] + ("a" if ended.token[-1] != "a" else "b")
    for operation in operations:
        for authorization in (None, f"Bearer {ended.token}", f"Bearer {forged}", f"Basic {ended.token}"):
            headers = {} if authorization is None else {"authorization": authorization}
            reply = edge.client.request(operation.method, f"/admin{operation.path}", json={}, headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key"), operation.name


def test_every_call_is_described_whole(operations: list[Operation]) -> None:
    for operation in operations:
        told = operation.described
        assert told["summary"], operation.name
        assert told["description"], operation.name
        assert operation.permission in {*ROWS, "any"}, operation.name
        for status, answer in told["responses"].items():
            schema = answer["content"]["application/json"]["schema"]
            assert "$ref" in schema, (operation.name, status)
            assert status < "400" or schema["$ref"].endswith("/ErrorReply"), (operation.name, status)
        assert {"400", "401", "403", "422", "503"} <= set(told["responses"]), operation.name


def test_an_id_of_another_account_is_answered_in_the_words_of_one_that_does_not_exist(
    edge: EdgeProcess, worlds: tuple[World, World]
) -> None:
    own, other = worlds
    caller = person_with(edge, "owner", own.account)
    for path, theirs in (("accounts", other.account), ("projects", other.project), ("keys", other.key())):
        for verb in ("", "/changes"):
            replies = [caller.get(f"/{path}/{asked}{verb}") for asked in (theirs, "none")]
            assert replies[0].status_code == 404
            assert replies[0].text.replace(theirs, "none") == replies[1].text
