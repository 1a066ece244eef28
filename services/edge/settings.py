"""The edge's settings, all from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.edge.client_address import Network, parse_networks

MiB = 1024 * 1024


class Settings(BaseSettings):
    """Times in seconds, sizes in bytes. Tokens, peppers and keys are never shown."""

    model_config = SettingsConfigDict(extra="ignore")

    database_url: str
    kafka_bootstrap_servers: str
    tollbook_host: str = "127.0.0.1"
    tollbook_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    tollbook_router_url: str
    tollbook_settlement_url: str
    tollbook_analytics_url: str = ""
    tollbook_admin_token: Annotated[SecretStr, Field(min_length=8)]
    tollbook_router_token: SecretStr = SecretStr("")
    tollbook_settlement_token: SecretStr = SecretStr("")
    tollbook_analytics_token: SecretStr = SecretStr("")
    tollbook_edge_token: Annotated[SecretStr, Field(min_length=8)]
    tollbook_key_peppers: dict[int, SecretStr]
    tollbook_secrets_key: SecretStr
    tollbook_former_secrets_keys: SecretStr = SecretStr("")
    tollbook_log_level: str = "INFO"
    tollbook_trusted_proxies: str = ""
    tollbook_forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"

    tollbook_rate_limit_store: SecretStr = SecretStr("")
    tollbook_rate_limit_on_outage: Literal["local", "refuse"] = "local"

    tollbook_edge_max_body_bytes: Annotated[int, Field(ge=1024)] = 10 * MiB
    tollbook_edge_body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    tollbook_edge_max_in_flight: Annotated[int, Field(ge=1)] = 4096
    tollbook_edge_request_timeout_s: Annotated[float, Field(gt=0)] = 900.0
    tollbook_object_store_url: str = ""
    tollbook_data_dir: Path = Path("data")
    tollbook_edge_max_file_bytes: Annotated[int, Field(ge=1024)] = 100 * MiB
    tollbook_edge_upload_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    tollbook_listen_fd: int | None = None
    tollbook_edge_drain_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    tollbook_edge_max_unpublished: Annotated[int, Field(ge=100)] = 20_000
    tollbook_control_silent_seconds: Annotated[float, Field(gt=0)] = 60.0
    tollbook_edge_linger_ms: Annotated[float, Field(ge=0)] = 50.0

    @field_validator("tollbook_key_peppers")
    @classmethod
    def _hex_peppers(cls, value: dict[int, SecretStr]) -> dict[int, SecretStr]:
        if not value or any(len(bytes.fromhex(pepper.get_secret_value())) < 16 for pepper in value.values()):
            raise ValueError('give at least one pepper as hex of 16 bytes or more, such as {"1": "<64 hex digits>"}')
        return value

    @field_validator("tollbook_secrets_key")
    @classmethod
    def _hex_key(cls, value: SecretStr) -> SecretStr:
        if len(bytes.fromhex(value.get_secret_value())) != 32:
            raise ValueError("give 32 bytes as 64 hex digits")
        return value

    @field_validator("tollbook_former_secrets_keys")
    @classmethod
    def _hex_keys(cls, value: SecretStr) -> SecretStr:
        if any(len(key) != 32 for key in _keys(value)):
            raise ValueError("give keys of 32 bytes as 64 hex digits, separated by commas")
        return value

    @field_validator("tollbook_rate_limit_store")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not url.startswith(("redis://", "rediss://")):
            raise ValueError(
                "give the URL of a Redis, such as redis://host:6379/0, or nothing: each process counts by itself then"
            )
        return value

    @field_validator("tollbook_trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(_listed(value))
        return value

    def trusted_proxies(self) -> tuple[Network, ...]:
        """Where proxies stand that say where a client is."""
        return parse_networks(_listed(self.tollbook_trusted_proxies))

    def peppers(self) -> dict[int, bytes]:
        """The peppers by their version."""
        return {version: bytes.fromhex(pepper.get_secret_value()) for version, pepper in self.tollbook_key_peppers.items()}

    def store_url(self) -> str:
        """Where files lie: a directory under the data directory unless it is said."""
        return self.tollbook_object_store_url or f"file://{(self.tollbook_data_dir / 'objects').absolute()}"

    def secrets_keys(self) -> list[bytes]:
        """The key under which stored replies are encrypted, then those that it replaced."""
        return [bytes.fromhex(self.tollbook_secrets_key.get_secret_value()), *_keys(self.tollbook_former_secrets_keys)]


def _listed(value: str) -> list[str]:
    return [text for each in value.split(",") if (text := each.strip())]


def _keys(value: SecretStr) -> list[bytes]:
    return [bytes.fromhex(key) for each in value.get_secret_value().split(",") if (key := each.strip())]
