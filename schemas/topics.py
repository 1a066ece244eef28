"""The topics of Tollbook, as described by `topics/*.yaml`: who writes, who reads, how they are keyed and kept."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

TOPICS_DIR = Path(__file__).parent / "topics"

REQUESTS = "tollbook.requests.v1"
ATTEMPTS = "tollbook.attempts.v1"
LEDGER = "tollbook.ledger.v1"
ALERTS = "tollbook.alerts.v1"
DEAD = "tollbook.dead.v1"
CONTROL = "tollbook.control.v1"
USAGE = "tollbook.usage.v1"


class Topic(BaseModel):
    """One topic. `retention_ms` is -1 for ever; `events` are the types that it may carry (none for the control topic)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    producers: list[str]
    consumers: list[str]
    key: str
    partitions: int = Field(ge=1)
    retention_ms: int = Field(ge=-1)
    cleanup_policy: str
    events: list[str]
    config: dict[str, str] = Field(default_factory=dict)


@cache
def topics() -> dict[str, Topic]:
    """Every topic by its name."""
    found = [Topic.model_validate(yaml.safe_load(path.read_text("utf-8"))) for path in sorted(TOPICS_DIR.glob("*.yaml"))]
    return {topic.name: topic for topic in found}
