"""Records of the compacted topic `tollbook.control.v1`, keyed `{kind}/{entity_id}`: what every instance must know at once."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.envelope import Contract, Identifier, UtcDatetime, now

ControlKind = Literal["account", "project", "key", "routes", "limit", "channel", "price"]


def _of_a_database(version: int) -> int:
    """Raise ValueError for a version that no column of a database holds: it would be the newest for ever."""
    if not 0 <= version < 2**63:
        raise ValueError("a version is a number from 0 to 2^63 - 1")
    return version


Version = Annotated[int, AfterValidator(_of_a_database)]


class ControlRecord(Contract):
    """The latest state of one entity. `version` grows with each change; a reader ignores an older one.

    `frozen` counts for accounts, projects, keys and channels; `revoked` for keys. For kind `routes` the version says which
    route table is in force, for `price` which price book; for `limit` and `key` a reader drops what it had cached about the
    entity. `author` is who changed it, as the change named them, and `reason` why a channel is frozen, or which rule of alerts
    froze an account, a project or a key, and why: whoever is refused reads it.

    Every account, project and key is announced when it is made: `account_id` says whose it is (an account's own id for an
    account), `project_id` the project of a key. Records of before name neither; edge announces those entities anew.
    """

    kind: ControlKind
    entity_id: Identifier
    version: Version
    changed_at: UtcDatetime = Field(default_factory=now)
    frozen: bool = False
    revoked: bool = False
    author: Identifier | None = None
    account_id: Identifier | None = None
    project_id: Identifier | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None

    @property
    def key(self) -> str:
        """The Kafka key under which the topic is compacted."""
        return f"{self.kind}/{self.entity_id}"
