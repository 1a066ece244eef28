"""Logins are made of URLs: each a member of its service's role, with its password, as often as one likes."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from deploy.local.errors import StepFailedError
from deploy.local.postgres import logins
from services.edge.migrate import migrate


def login_url(administrator_url: str, user: str, password: str) -> str:
    """The URL of another user on the same database."""
    parts = conninfo_to_dict(administrator_url)
    return f"postgresql://{user}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"


@pytest.fixture
def edge_url(database_url: str) -> str:
    """The administrator's URL of a database with edge's tables."""
    migrate(database_url)
    return database_url


def test_a_login_may_what_its_services_role_may(edge_url: str) -> None:
    mine = login_url(edge_url, "edge_one", "first")
    logins.create(edge_url, {"edge": mine})
    with psycopg.connect(mine, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM edge.api_key").fetchone() == (0,)
        with pytest.raises(InsufficientPrivilege):
            connection.execute("DELETE FROM edge.api_key")


def test_made_again_a_login_has_its_new_password(edge_url: str) -> None:
    logins.create(edge_url, {"edge": login_url(edge_url, "edge_two", "first")})
    logins.create(edge_url, {"edge": login_url(edge_url, "edge_two", "second")})
    with psycopg.connect(login_url(edge_url, "edge_two", "second")) as connection:
        assert connection.info.user == "edge_two"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(login_url(edge_url, "edge_two", "first"))


def test_the_administrator_is_not_made_a_services_login(edge_url: str) -> None:
    with pytest.raises(StepFailedError, match="TOLLBOOK_EDGE_DATABASE_URL must name a user of its own"):
        logins.create(edge_url, {"edge": edge_url})


def test_a_service_that_was_not_migrated_is_named(edge_url: str) -> None:
    with pytest.raises(StepFailedError, match="there is no role tollbook_nosuch: migrate nosuch first"):
        logins.create(edge_url, {"nosuch": login_url(edge_url, "nosuch_login", "x")})
