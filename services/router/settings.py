"""Everything that can be set from outside, by environment variables."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.router.origin import OriginRules


class Settings(BaseSettings):
    """Router's settings: `TOLLBOOK_<NAME>`, and the engines' own names. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TOLLBOOK_", extra="ignore", populate_by_name=True)

    database_url: str = Field(validation_alias="DATABASE_URL")
    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    host: str = "127.0.0.1"
    port: int = Field(default=8020, ge=0, le=65535)
    settlement_url: str
    edge_url: str = ""
    admin_token: SecretStr
    edge_token: SecretStr
    router_token: SecretStr
    secrets_key: SecretStr
    former_secrets_keys: SecretStr = SecretStr("")
    tenant: str = Field(default="tollbook", min_length=1, max_length=128)
    allow_private_upstreams: bool = False
    upstream_hosts: str = ""

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
    listen_fd: int | None = None
    drain_seconds: float = Field(default=30, ge=0)
    disconnect_drain_seconds: float = Field(default=60, ge=0, le=3_600)
    control_silent_seconds: float = Field(default=60, gt=0)
    log_level: str = "INFO"

    @field_validator("secrets_key")
    @classmethod
    def _key_of_32_bytes(cls, key: SecretStr) -> SecretStr:
        if _bytes_of(key.get_secret_value()) is None:
            raise ValueError("TOLLBOOK_SECRETS_KEY must be 64 hexadecimal digits")
        return key

    @field_validator("former_secrets_keys")
    @classmethod
    def _keys_of_32_bytes(cls, keys: SecretStr) -> SecretStr:
        if any(_bytes_of(key) is None for key in _items(keys.get_secret_value())):
            raise ValueError("TOLLBOOK_FORMER_SECRETS_KEYS must be keys of 64 hexadecimal digits, separated by commas")
        return keys

    def keys_of_secrets(self) -> tuple[bytes, list[bytes]]:
        """The key that secrets are sealed under, and those that it replaced."""
        former = _items(self.former_secrets_keys.get_secret_value())
        return bytes.fromhex(self.secrets_key.get_secret_value()), [bytes.fromhex(key) for key in former]

    def origin_rules(self) -> OriginRules:
        """Where channels may be."""
        return OriginRules(self.allow_private_upstreams, tuple(each.lower() for each in _items(self.upstream_hosts)))


def _items(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _bytes_of(key: str) -> bytes | None:
    try:
        value = bytes.fromhex(key)
    except ValueError:
        return None
    return value if len(value) == 32 else None
