"""The services' own logins on a test's database: what a service may not do elsewhere it cannot do in a test either."""

from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.errors import DuplicateObject

from deploy.local.postgres import logins

PASSWORD = "tests"


def as_service(database_url: str, service: str) -> str:
    """The URL with which a service logs in to the database that the administrator's URL names."""
    parts = urlsplit(database_url)
    _make(urlunsplit(parts._replace(path="/postgres")), service)
    return _url(database_url, service)


@cache
def _make(administrator_url: str, service: str) -> None:
    """Logins and roles belong to the whole server: once is enough, and may come before the first migration."""
    with psycopg.connect(administrator_url, autocommit=True) as connection, suppress(DuplicateObject):
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(logins.role(service))))
    logins.create(administrator_url, {service: _url(administrator_url, service)})


def _url(database_url: str, service: str) -> str:
    parts = urlsplit(database_url)
    return urlunsplit(parts._replace(netloc=f"{service}_login:{PASSWORD}@{parts.hostname}:{parts.port}"))
