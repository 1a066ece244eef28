"""Asks for usage reports: with an API key as its customer does, or with a token that may read them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from services.console.entities.naming import ACCOUNT, KEY, PROJECT, account_of, id_of, known_id_of
from services.console.errors import UnknownAddressError, UnreachableError
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.spoken import SpokenError

PAGE = 1000
"""The most rows of a page."""


@dataclass(frozen=True)
class UsageReader:
    """Who answers, where, and what every question to it carries."""

    client: ServiceClient
    path: str
    always: Mapping[str, str]

    def page(self, query: Mapping[str, Any], limit: int) -> dict[str, Any]:
        """The report as the API gives it, of as many pages as there are until `limit`."""
        asked = {**self.always, **query}
        found, data = self._page(asked, None, min(PAGE, limit)), list[Any]()
        while True:
            data += found["data"]
            after = found["next_after"]
            if after is None or len(data) >= limit:
                return {**found, "data": data}
            found = self._page(asked, after, min(PAGE, limit - len(data)))

    def csv(self, query: Mapping[str, Any]) -> Iterator[bytes]:
        """The report as CSV, in pieces as they come."""
        asked = {**self.always, **query, "format": "csv"}
        params = {name: value for name, value in asked.items() if value is not None}
        with self.client.opened("GET", self.path, params=params) as reply:
            yield from reply.iter_bytes()

    def _page(self, asked: Mapping[str, Any], after: str | None, limit: int) -> dict[str, Any]:
        found = self.client.get(self.path, **asked, after=after, limit=limit)
        if not isinstance(found, dict) or not isinstance(found.get("data"), list):
            raise UnreachableError(f"what answers at {self.client.where} gave no report", "see that the URL is right")
        return found


@contextmanager
def usage_reader(
    session: Session, api_key: str | None, account: str | None, *, everyone: bool, named: Mapping[str, str | None]
) -> Iterator[UsageReader]:
    """With the API key that was given, or without an account the one that is known; with the token otherwise.

    `named` are filters by which people say names; a key may not look names up, so that it takes ids.
    """
    customer = None if (account is not None or everyone) and api_key is None else _customer(session, api_key)
    if customer is not None:
        with customer as edge:
            if account is not None or everyone:
                raise SpokenError("an API key is about its own account: leave --account, --all-accounts or --api-key out")
            yield UsageReader(edge, "/v1/usage", {name: said for name, said in named.items() if said})
        return
    with session.connect("edge") as edge:
        always = _of_names(session, edge, account, named, everyone=everyone)
    with session.connect("analytics") as analytics:
        yield UsageReader(analytics, "/admin/usage", always)


def _of_names(
    session: Session, edge: ServiceClient, account: str | None, named: Mapping[str, str | None], *, everyone: bool
) -> dict[str, str]:
    whose = known_id_of(edge, ACCOUNT, account) if account else None if everyone else account_of(session, edge, None)
    within = {"account_id": whose} if whose else {}
    kinds = {"project_id": PROJECT, "key_id": KEY}
    return within | {name: id_of(edge, kinds[name], said, **within) for name, said in named.items() if said}


def _customer(session: Session, api_key: str | None) -> ServiceClient | None:
    try:
        return session.connect_customer(api_key)
    except UnknownAddressError:
        if api_key is not None:
            raise
        return None
