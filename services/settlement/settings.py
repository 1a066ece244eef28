"""What the environment says. Read once, by a process's composition root."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.notes import PublicKey, SigningKey, parse_keys
from services.settlement.turns import SILENT_S


class Settings(BaseSettings):
    """Settings of every settlement process; the names in the environment are the aliases."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field(alias="DATABASE_URL")
    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", alias="KAFKA_BOOTSTRAP_SERVERS")
    host: str = Field(default="127.0.0.1", alias="TOLLBOOK_HOST")
    port: int = Field(default=0, alias="TOLLBOOK_PORT")
    listen_fd: int | None = Field(default=None, alias="TOLLBOOK_LISTEN_FD")
    admin_token: str = Field(default="", alias="TOLLBOOK_ADMIN_TOKEN")
    edge_token: str = Field(default="", alias="TOLLBOOK_EDGE_TOKEN")
    router_token: str = Field(default="", alias="TOLLBOOK_ROUTER_TOKEN")
    edge_url: str = Field(default="", alias="TOLLBOOK_EDGE_URL")
    settlement_token: str = Field(default="", alias="TOLLBOOK_SETTLEMENT_TOKEN")

    stripe_webhook_secret: str = Field(default="", alias="TOLLBOOK_STRIPE_WEBHOOK_SECRET")

    price_book_file: str | None = Field(default=None, alias="TOLLBOOK_PRICE_BOOK_FILE")
    default_output_tokens: int = Field(default=4096, ge=1, le=10**6, alias="TOLLBOOK_DEFAULT_OUTPUT_TOKENS")
    floor_output_tokens: int = Field(default=256, ge=1, le=10**6, alias="TOLLBOOK_FLOOR_OUTPUT_TOKENS")
    hold_lanes: int = Field(default=1, ge=1, le=16, alias="TOLLBOOK_HOLD_LANES")
    hold_batch: int = Field(default=128, ge=1, le=256, alias="TOLLBOOK_HOLD_BATCH")
    hold_queue: int = Field(default=4096, ge=1, alias="TOLLBOOK_HOLD_QUEUE")
    statement_timeout_ms: int = Field(default=5000, ge=100, alias="TOLLBOOK_STATEMENT_TIMEOUT_MS")

    hold_grace_seconds: float = Field(default=120.0, ge=0, alias="TOLLBOOK_HOLD_GRACE_SECONDS")
    sweep_interval_seconds: float = Field(default=5.0, gt=0, alias="TOLLBOOK_SWEEP_INTERVAL_SECONDS")
    run_interval_seconds: float = Field(default=2.0, gt=0, alias="TOLLBOOK_RUN_INTERVAL_SECONDS")
    case_max_age_days: int = Field(default=14, ge=1, alias="TOLLBOOK_CASE_MAX_AGE_DAYS")
    case_owner: str = Field(default="billing", alias="TOLLBOOK_CASE_OWNER")

    credit_interval_seconds: float = Field(default=5.0, gt=0, alias="TOLLBOOK_CREDIT_INTERVAL_SECONDS")

    worker_name: str = Field(default="settlement-worker", alias="TOLLBOOK_WORKER_NAME")
    consumer_group: str = Field(default="settlement", alias="TOLLBOOK_SETTLEMENT_GROUP")
    settle_batch: int = Field(default=400, ge=1, le=1000, alias="TOLLBOOK_SETTLE_BATCH")
    settle_lanes: int = Field(default=2, ge=1, le=8, alias="TOLLBOOK_SETTLE_LANES")
    settle_linger_ms: float = Field(default=40.0, ge=0, le=1000, alias="TOLLBOOK_SETTLE_LINGER_MS")
    lease_seconds: float = Field(default=10.0, ge=1, alias="TOLLBOOK_LEASE_SECONDS")
    relay_batch: int = Field(default=1000, ge=1, le=5000, alias="TOLLBOOK_RELAY_BATCH")
    control_silent_seconds: float = Field(default=60.0, gt=0, alias="TOLLBOOK_CONTROL_SILENT_SECONDS")
    silent_seconds: float = Field(default=SILENT_S, gt=0, alias="TOLLBOOK_SILENT_SECONDS")
    relay_interval_ms: float = Field(default=100.0, ge=1, alias="TOLLBOOK_RELAY_INTERVAL_MS")
    signing_key: SecretStr = Field(default=SecretStr(""), alias="TOLLBOOK_SIGNING_KEY")
    former_signing_keys: str = Field(default="", alias="TOLLBOOK_FORMER_SIGNING_KEYS")
    checkpoint_file: Path | None = Field(default=None, alias="TOLLBOOK_CHECKPOINT_FILE")
    seal_batch: int = Field(default=500, ge=1, le=5000, alias="TOLLBOOK_SEAL_BATCH")
    seal_interval_seconds: float = Field(default=1.0, gt=0, alias="TOLLBOOK_SEAL_INTERVAL_SECONDS")
    ingress_max_age_seconds: float = Field(default=60.0, gt=0, alias="TOLLBOOK_INGRESS_MAX_AGE_SECONDS")
    ingress_max_rows: int = Field(default=10_000, ge=1, alias="TOLLBOOK_INGRESS_MAX_ROWS")

    def signer(self) -> SigningKey | None:
        """The key that seals and signs; None where there is none, and then nothing is sealed. Raises KeyFormatError."""
        seed = self.signing_key.get_secret_value()
        return SigningKey(seed) if seed else None

    def public_keys(self) -> dict[str, PublicKey]:
        """Today's public key first, then those that it replaced (hexadecimal, separated by commas). Raises KeyFormatError."""
        signer = self.signer()
        found = {signer.public.id: signer.public} if signer else {}
        for former in filter(None, self.former_signing_keys.split(",")):
            found |= {key_id: key for key_id, key in parse_keys(former).items() if key_id not in found}
        return found
