"""Analytics over real engines: its settings, and ClickHouse within the test's own process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from deploy.local.ports import free_port
from services.analytics import warehouse_schema
from services.analytics.loader import Loader, Wiring
from services.analytics.migrate import migrate
from services.analytics.publisher import Publisher
from services.analytics.reader import Reader
from services.analytics.rows.registry import TOPICS
from services.analytics.warehouse import connector
from tests.integration.analytics.loader_bench import LIMITS, Bench, CutWarehouse
from tests.integration.analytics.process import ADMIN_TOKEN, EDGE_TOKEN, SERVICE_TOKEN, Analytics
from tests.logins import as_service


@pytest.fixture(scope="session")
def engine_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this process's embedded ClickHouse lives: a process has room for one."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture
def clickhouse_database() -> str:
    """The name of a ClickHouse database for one test."""
    return f"test_{uuid4().hex[:12]}"


@pytest.fixture
def clickhouse(engine_dir: Path, clickhouse_database: str) -> Iterator[Client]:
    """A client of an empty database with analytics' schema."""
    client = connector("", engine_dir, clickhouse_database, max_threads=2)()
    warehouse_schema.migrate(client)
    yield client
    client.close()


@pytest.fixture
def migrated_url(database_url: str) -> str:
    """A Postgres database with analytics' schema."""
    migrate(database_url)
    return database_url


@pytest.fixture
def analytics(migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path) -> Analytics:
    """The loader and its API as a process, not started, over a store that is empty."""
    environment = {
        "DATABASE_URL": as_service(migrated_url, "analytics"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "CLICKHOUSE_URL": "",
        "TOLLBOOK_DATA_DIR": str(tmp_path / "data"),
        "TOLLBOOK_HOST": "127.0.0.1",
        "TOLLBOOK_PORT": str(free_port()),
        "TOLLBOOK_ADMIN_TOKEN": ADMIN_TOKEN,
        "TOLLBOOK_EDGE_TOKEN": EDGE_TOKEN,
        "TOLLBOOK_ANALYTICS_TOKEN": SERVICE_TOKEN,
        "TOLLBOOK_WATCH_ITSELF": "false",
        "TOLLBOOK_LOADER_FLUSH_SECONDS": "0.3",
    }
    return Analytics("services.analytics", environment, tmp_path / "analytics.log")


@pytest.fixture
async def bench(
    engine_dir: Path, clickhouse_database: str, clickhouse: Client, migrated_url: str, kafka_bootstrap_servers: str
) -> AsyncIterator[Bench]:
    """A loader over an empty store."""
    warehouse = CutWarehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "test")
    wiring = Wiring(
        database_url=migrated_url,
        warehouse=warehouse,
        new_reader=lambda: Reader(kafka_bootstrap_servers, TOPICS),
        new_publisher=lambda: Publisher(kafka_bootstrap_servers, "test-loader"),
        limits=LIMITS,
    )
    yield Bench(Loader(wiring), warehouse, clickhouse, kafka_bootstrap_servers, migrated_url)
    await warehouse.close()
