"""What the environment says. Read once, in the composition root of each process."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.analytics import keeping
from services.analytics.layout import Engines, Layout


class Settings(BaseSettings):
    """Settings of the loader and its API. `clickhouse_url` empty means the embedded engine under `data_dir`.

    The embedded engine is open to readers who have `sql_token`; to nobody while that is empty.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(validation_alias="DATABASE_URL")
    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    clickhouse_url: str = Field(default="", validation_alias="CLICKHOUSE_URL")
    clickhouse_database: str = Field(
        default="tollbook", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", validation_alias="TOLLBOOK_CLICKHOUSE_DATABASE"
    )
    clickhouse_engines: Engines = Field(default="plain", validation_alias="TOLLBOOK_CLICKHOUSE_ENGINES")
    clickhouse_cluster: str = Field(default="", pattern=r"^[a-zA-Z0-9_{}.-]*$", validation_alias="TOLLBOOK_CLICKHOUSE_CLUSTER")
    clickhouse_keep_days: Annotated[dict[str, int], AfterValidator(keeping.check)] = Field(
        default_factory=dict, validation_alias="TOLLBOOK_CLICKHOUSE_KEEP_DAYS"
    )
    host: str = Field(default="127.0.0.1", validation_alias="TOLLBOOK_HOST")
    port: int = Field(default=8003, ge=0, le=65535, validation_alias="TOLLBOOK_PORT")
    data_dir: Path = Field(default=Path(".tollbook"), validation_alias="TOLLBOOK_DATA_DIR")
    admin_token: SecretStr = Field(min_length=1, validation_alias="TOLLBOOK_ADMIN_TOKEN")
    edge_token: SecretStr = Field(min_length=1, validation_alias="TOLLBOOK_EDGE_TOKEN")
    edge_url: str = Field(default="", validation_alias="TOLLBOOK_EDGE_URL")
    router_url: str = Field(default="", validation_alias="TOLLBOOK_ROUTER_URL")
    settlement_url: str = Field(default="", validation_alias="TOLLBOOK_SETTLEMENT_URL")
    """Who is asked how far the ledger is. Empty: the dashboard shows that nobody says so."""
    analytics_token: SecretStr = Field(default=SecretStr(""), validation_alias="TOLLBOOK_ANALYTICS_TOKEN")
    sql_token: SecretStr = Field(default=SecretStr(""), validation_alias="TOLLBOOK_SQL_TOKEN")
    sql_seconds: int = Field(default=10, ge=1, le=300, validation_alias="TOLLBOOK_SQL_SECONDS")
    sql_rows: int = Field(default=1_000_000, ge=1, validation_alias="TOLLBOOK_SQL_ROWS")
    sql_memory_bytes: int = Field(default=1_000_000_000, ge=10_000_000, validation_alias="TOLLBOOK_SQL_MEMORY_BYTES")
    watch_itself: bool = Field(default=True, validation_alias="TOLLBOOK_WATCH_ITSELF")
    alert_messages_keep_days: int = Field(default=30, ge=8, le=36_500, validation_alias="TOLLBOOK_ALERT_MESSAGES_KEEP_DAYS")
    alert_history_keep_days: int = Field(default=90, ge=8, le=36_500, validation_alias="TOLLBOOK_ALERT_HISTORY_KEEP_DAYS")
    dashboard_url: str = Field(default="", validation_alias="TOLLBOOK_DASHBOARD_URL")
    """Where people find the dashboard: messages of alerts link to it. Empty: on this machine, if it listens there alone."""
    flush_seconds: float = Field(default=1.0, gt=0, le=60, validation_alias="TOLLBOOK_LOADER_FLUSH_SECONDS")
    batch_rows: int = Field(default=10_000, ge=1, le=100_000, validation_alias="TOLLBOOK_LOADER_BATCH_ROWS")

    @model_validator(mode="after")
    def _replicas_are_of_a_cluster_of_servers(self) -> Self:
        if self.clickhouse_engines != "plain" and not self.clickhouse_url:
            raise ValueError("the embedded engine has no replicas: set CLICKHOUSE_URL, or TOLLBOOK_CLICKHOUSE_ENGINES=plain")
        if (self.clickhouse_engines == "replicated") is not bool(self.clickhouse_cluster):
            raise ValueError(
                "TOLLBOOK_CLICKHOUSE_CLUSTER names the cluster of TOLLBOOK_CLICKHOUSE_ENGINES=replicated: set both or none"
            )
        return self

    @property
    def layout(self) -> Layout:
        """On which engines the tables lie."""
        return Layout(self.clickhouse_engines, self.clickhouse_cluster)


class MigrationSettings(BaseSettings):
    """Settings of `python -m services.analytics.migrate`."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(validation_alias="DATABASE_URL")


class MeterSettings(BaseSettings):
    """Settings of the velocity meter, which tells analytics what it judges.

    `tokens_per_minute_by_key` overrides the threshold of single keys, by public key id.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    data_dir: Path = Field(default=Path(".tollbook"), validation_alias="TOLLBOOK_DATA_DIR")
    host: str = Field(default="127.0.0.1", validation_alias="TOLLBOOK_HOST")
    port: int | None = Field(default=None, ge=1, le=65535, validation_alias="TOLLBOOK_PORT")
    analytics_url: str = Field(min_length=1, validation_alias="TOLLBOOK_ANALYTICS_URL")
    analytics_token: SecretStr = Field(min_length=1, validation_alias="TOLLBOOK_ANALYTICS_TOKEN")
    replication_factor: int = Field(default=1, ge=1, validation_alias="TOLLBOOK_KAFKA_REPLICATION_FACTOR")
    tokens_per_minute: int = Field(default=200_000, ge=1, validation_alias="TOLLBOOK_VELOCITY_TOKENS_PER_MINUTE")
    tokens_per_minute_by_key: dict[str, PositiveInt] = Field(
        default_factory=dict, validation_alias="TOLLBOOK_VELOCITY_TOKENS_PER_MINUTE_BY_KEY"
    )
