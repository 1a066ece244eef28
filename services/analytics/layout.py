"""On which engines the tables lie: one SQL text, rewritten for a replicated cluster. Pure.

- `plain`: MergeTree tables, on the embedded engine or one server.
- `replicated`: Replicated…MergeTree tables whose DDL runs `ON CLUSTER`; the servers' macros name shard and replica.
- `database`: Replicated…MergeTree tables in a database whose own engine is Replicated: it carries the DDL and names the paths.
"""

import re
from dataclasses import dataclass
from typing import Literal

Engines = Literal["plain", "replicated", "database"]
PATH = "/clickhouse/tables/{shard}/{database}/{table}"
REPLICA = "{replica}"
_ENGINE = re.compile(r"^(\s*ENGINE\s*=\s*)(\w*MergeTree)\b(\(\))?", re.MULTILINE)
_DDL = re.compile(
    r"^(\s*(?:CREATE(?:\s+OR\s+REPLACE)?|ALTER|DROP|TRUNCATE|RENAME)\s+(?:TABLE|DATABASE|VIEW|MATERIALIZED\s+VIEW)"
    r"(?:\s+IF\s+(?:NOT\s+)?EXISTS)?\s+[\w.`]+)"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How statements are rewritten before they run. `cluster` names the cluster of `replicated`."""

    engines: Engines = "plain"
    cluster: str = ""

    @property
    def replicated(self) -> bool:
        """Whether tables are replicated: a block and its deduplication token are then kept in one step."""
        return self.engines != "plain"

    def of(self, statement: str) -> str:
        """The statement as it runs on these engines."""
        if not self.replicated:
            return statement
        place = f"('{PATH}', '{REPLICA}')" if self.engines == "replicated" else ""
        rewritten = _ENGINE.sub(lambda found: f"{found[1]}Replicated{found[2]}{place}", statement)
        rewritten = rewritten.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
        if self.engines == "replicated":
            rewritten = _DDL.sub(lambda found: f"{found[1]} ON CLUSTER '{self.cluster}'", rewritten, count=1)
        return rewritten


PLAIN = Layout()
