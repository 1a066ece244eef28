"""What a load is and what it gave: the messages between the bench and its load generator (JSON)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Message):
    """One closed-loop load: `connections` clients, each sending its next request when its last is answered.

    `bodies` are sent in turn. Bounded by `seconds` and by `requests_max`; a request that takes longer than
    `timeout_s` is an error.
    """

    host: str
    port: int
    path: str
    api_key: str
    bodies: list[str] = Field(min_length=1)
    connections: int = Field(ge=1, le=1_024)
    seconds: float = Field(gt=0, le=3_600)
    requests_max: int = Field(default=1_000_000, ge=1)
    timeout_s: float = 30


class Outcome(_Message):
    """What came of a load. Latencies are milliseconds to the last byte of a reply, ttft to its first body byte."""

    started_at: float
    """Unix seconds."""

    seconds: float
    latencies_ms: list[float]
    ttfts_ms: list[float]
    chunks: int
    """Server-sent events over all replies, without `[DONE]`."""

    errors: int
    error_samples: list[str]
    generator_cpu_ms: float

    @property
    def requests(self) -> int:
        """Answered requests without an error."""
        return len(self.latencies_ms)

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds
