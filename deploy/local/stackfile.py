"""`stack.json`: every URL, DSN and demo credential of the running stack, a stable contract for scripts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.local.home import Home, read_json, write_json
from schemas.notes import SigningKey


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The seeded demo account and a key of it."""

    account_id: str
    project_id: str
    api_key: str


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """The keys of stack.json; None is what does not run or is not built yet (null in the file)."""

    edge_url: str | None
    router_url: str | None
    settlement_url: str | None
    analytics_url: str | None
    console_url: str | None
    provider_url: str | None
    postgres_dsn: str
    kafka_bootstrap_servers: str
    clickhouse_url: str | None
    admin_token: str
    demo: Demo | None
    signing_public_key: str | None = None

    def write(self, home: Home) -> None:
        """Keep it in the home, readable by its owner only."""
        write_json(home.stack_file, asdict(self))


def describe(environment: Mapping[str, str], running: frozenset[str], demo: Demo | None) -> StackFile:
    """Return the description of a stack from what its processes are told."""

    def url(name: str) -> str | None:
        return environment[f"TOLLBOOK_{name.upper()}_URL"] if name in running else None

    return StackFile(
        edge_url=url("edge"),
        router_url=url("router"),
        settlement_url=url("settlement"),
        analytics_url=url("analytics"),
        console_url=None,
        provider_url=url("provider"),
        postgres_dsn=environment["DATABASE_URL"],
        kafka_bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"],
        clickhouse_url=environment["CLICKHOUSE_URL"] or _embedded(environment, running),
        admin_token=environment["TOLLBOOK_ADMIN_TOKEN"],
        demo=demo,
        signing_public_key=SigningKey(environment["TOLLBOOK_SIGNING_KEY"]).public.raw.hex(),
    )


def _embedded(environment: Mapping[str, str], running: frozenset[str]) -> str | None:
    """Where analytics lets readers ask the embedded engine, in the form that ClickHouse's clients take."""
    if "analytics" not in running:
        return None
    where = urlsplit(environment["TOLLBOOK_ANALYTICS_URL"])
    database = environment.get("TOLLBOOK_CLICKHOUSE_DATABASE", "tollbook")
    return f"{where.scheme}://tollbook:{environment['TOLLBOOK_SQL_TOKEN']}@{where.netloc}/{database}"


def load(home: Home) -> StackFile | None:
    """Return what stack.json says, or None when there is none."""
    found: dict[str, Any] = read_json(home.stack_file)
    if not found:
        return None
    demo = found.pop("demo")
    return StackFile(**found, demo=Demo(**demo) if demo else None)
