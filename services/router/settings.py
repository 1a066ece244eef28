"""Everything that can be set from outside, by environment variables."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Router's settings: `TOLLBOOK_<NAME>`, and the engines' own names. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TOLLBOOK_", extra="ignore", populate_by_name=True)

    database_url: str = Field(validation_alias="DATABASE_URL")
    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    host: str = "127.0.0.1"
    port: int = Field(default=8020, ge=0, le=65535)
    settlement_url: str
    admin_token: SecretStr
    edge_token: SecretStr
    router_token: SecretStr
    secrets_key: SecretStr
    allow_private_upstreams: bool = False

    request_deadline_seconds: float = Field(default=600, gt=0, le=86_400)
    stream_lease_seconds: float = Field(default=60, ge=5, le=3_600)
    upstream_connect_timeout_seconds: float = Field(default=5, gt=0)
    upstream_first_byte_timeout_seconds: float = Field(default=300, gt=0)
    upstream_read_timeout_seconds: float = Field(default=120, gt=0)
    upstream_connections: int = Field(default=1_000, ge=1)
    tries_per_channel: int = Field(default=2, ge=1, le=10)
    backoff_base_seconds: float = Field(default=0.1, gt=0)
    backoff_cap_seconds: float = Field(default=2, gt=0)
    retry_after_max_seconds: float = Field(default=2, ge=0)
    circuit_failures: int = Field(default=5, ge=1)
    circuit_open_seconds: float = Field(default=10, gt=0)
    hold_calls_in_flight: int = Field(default=2, ge=1, le=4)
    holds_waiting_max: int = Field(default=4_096, ge=1)
    hold_bound_seconds: float = Field(default=4, gt=0)
    requests_in_flight_max: int = Field(default=4_096, ge=1)
    body_bytes_max: int = Field(default=32 * 1024 * 1024, ge=1)
    drain_seconds: float = Field(default=30, ge=0)
    disconnect_drain_seconds: float = Field(default=60, ge=0, le=3_600)
    log_level: str = "INFO"

    @field_validator("secrets_key")
    @classmethod
    def _key_of_32_bytes(cls, key: SecretStr) -> SecretStr:
        try:
            length = len(bytes.fromhex(key.get_secret_value()))
        except ValueError:
            length = 0
        if length != 32:
            raise ValueError("TOLLBOOK_SECRETS_KEY must be 64 hexadecimal digits")
        return key
