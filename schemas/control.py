"""Records of the compacted topic `tollbook.control.v1`, keyed `{kind}/{entity_id}`: what every instance must know at once."""

from typing import Literal

from pydantic import Field

from schemas.envelope import Contract, Identifier, UtcDatetime, now

ControlKind = Literal["account", "project", "key", "routes", "limit"]


class ControlRecord(Contract):
    """The latest state of one entity. `version` grows with each change; a reader ignores an older one.

    `frozen` counts for accounts, projects and keys; `revoked` for keys. For kind `routes` the version says which route
    table is in force; for `limit` and `key` a reader drops what it had cached about the entity. `author` is who changed it, as
    the change named them.
    """

    kind: ControlKind
    entity_id: Identifier
    version: int
    changed_at: UtcDatetime = Field(default_factory=now)
    frozen: bool = False
    revoked: bool = False
    author: Identifier | None = None

    @property
    def key(self) -> str:
        """The Kafka key under which the topic is compacted."""
        return f"{self.kind}/{self.entity_id}"
