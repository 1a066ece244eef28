"""Reads an account's runs and receipts: with an API key as its customer does, or with a token that may."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.console.entities.naming import ACCOUNT, account_of, path_of
from services.console.errors import UnknownAddressError
from services.console.service_client import ServiceClient
from services.console.session import Session


@dataclass(frozen=True)
class Reader:
    """Edge, and where it keeps the account's runs and receipts for whoever asks."""

    edge: ServiceClient
    runs: str
    receipts: str


@contextmanager
def reader(session: Session, api_key: str | None, account: str | None) -> Iterator[Reader]:
    """With the API key that was given, or without `--account` the one that is known; with the token otherwise."""
    customer = None if account is not None and api_key is None else _customer(session, api_key)
    if customer is not None:
        with customer as edge:
            yield Reader(edge, "/v1/runs", "/v1/requests")
        return
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
        yield Reader(edge, path_of(ACCOUNT, holder, "runs"), path_of(ACCOUNT, holder, "receipts"))


def _customer(session: Session, api_key: str | None) -> ServiceClient | None:
    try:
        return session.connect_customer(api_key)
    except UnknownAddressError:
        if api_key is not None:
            raise
        return None
