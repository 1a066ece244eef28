"""Who stands behind an API key, as the hot path needs it: looked up once, kept in memory, checked on every call."""

from dataclasses import dataclass, field
from typing import Literal

import orjson

from schemas.calls import Policy
from schemas.requests import KeyRef
from services.edge.errors import ForbiddenError, InvalidApiKeyError

FrozenScope = Literal["account", "project", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One API key with the state of its project and account, as Postgres has it."""

    key_id: str
    name: str
    environment: str
    policy: Policy
    project_id: str
    account_id: str
    secret_hmac: bytes
    pepper_version: int
    revoked: bool
    frozen: FrozenScope | None


@dataclass(frozen=True, slots=True)
class Caller:
    """A key whose secret was proven. The JSON parts of the call context that never change are rendered once."""

    key: KeyRef
    account_id: str
    environment: str
    policy: Policy
    revoked: bool
    frozen: FrozenScope | None
    key_json: orjson.Fragment = field(compare=False, repr=False)
    policy_json: orjson.Fragment = field(compare=False, repr=False)

    @classmethod
    def of(cls, row: KeyRow) -> "Caller":
        """The caller behind a row."""
        key = KeyRef(project_id=row.project_id, key_id=row.key_id, key_name=row.name)
        return cls(
            key=key,
            account_id=row.account_id,
            environment=row.environment,
            policy=row.policy,
            revoked=row.revoked,
            frozen=row.frozen,
            key_json=orjson.Fragment(key.to_json()),
            policy_json=orjson.Fragment(row.policy.to_json()),
        )

    def require_standing(self) -> None:
        """Raise what a revoked or frozen key deserves."""
        if self.revoked:
            raise InvalidApiKeyError("This API key was revoked. Ask whoever runs this Tollbook for another.")
        if self.frozen is not None:
            subject = {"account": "account of this API key", "project": "project of this API key", "key": "API key"}[
                self.frozen
            ]
            raise ForbiddenError(f"{self.frozen}_frozen", f"The {subject} is frozen. An operator can unfreeze it.")

    def require_model(self, model: str) -> None:
        """Raise :class:`ForbiddenError` where the key's policy does not list the model."""
        if not self.policy.allows_model(model):
            raise ForbiddenError("model_not_allowed", f"This API key may not use the model {model!r}.", param="model")
