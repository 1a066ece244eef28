"""Users with roles, as the tests of access make them."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.edge.processes import EdgeProcess

ACCOUNT_ROLES = ("owner", "billing", "member")


@dataclass(frozen=True)
class Person:
    """A user and a token of the user."""

    edge: EdgeProcess
    user_id: str
    token_id: str
    token: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """An admin call of this user."""
        content = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self.token}", "content-type": "application/json"} | headers
        return self.edge.client.request(method, f"/admin{path}", content=content, headers=sent)

    def get(self, path: str) -> httpx.Response:
        """A reading call."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A changing call."""
        return self.call("POST", path, body, **headers)


def new_account(edge: EdgeProcess) -> str:
    """An account's id."""
    account_id: str = edge.admin("/accounts", {"name": "acme"}).raise_for_status().json()["account_id"]
    return account_id


def new_person(edge: EdgeProcess, *grants: tuple[str, str | None]) -> Person:
    """A user with these roles, (role, account id), made with the admin token."""
    body = {"name": "Ada", "grants": [{"role": role, "account_id": account} for role, account in grants]}
    user_id = edge.admin("/users", body).raise_for_status().json()["user_id"]
    made = edge.admin(f"/users/{user_id}/tokens", {"name": "laptop"}).raise_for_status().json()
    return Person(edge, user_id, made["token_id"], made["access_token"])


def person_with(edge: EdgeProcess, role: str, account_id: str) -> Person:
    """A user with one role, in the account if it is one of accounts."""
    return new_person(edge, (role, account_id if role in ACCOUNT_ROLES else None))
