"""Policies of account, project, key and run: each narrows the one around it, and a refusal names the one that refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import orjson
from pydantic import Field, StrictBool, StrictInt

from schemas.attempts import RouteType
from schemas.calls import Policy
from schemas.envelope import Contract, Identifier

PolicyScope = Literal["account", "project", "key", "run"]
SUBJECTS: dict[PolicyScope, str] = {"account": "This account", "project": "This project", "key": "This API key"}


class EnvelopePolicy(Contract):
    """What one envelope says; None leaves it to the others.

    `models` and `route_types` are allow-lists; `["*"]` allows every model. Crossing buckets needs one envelope that permits it
    and none that forbids it.
    """

    models: Annotated[list[Identifier], Field(max_length=256)] | None = None
    route_types: list[RouteType] | None = None
    fallback: StrictBool | None = None
    cross_bucket: StrictBool | None = None
    max_attempts: Annotated[StrictInt, Field(ge=1, le=10)] | None = None
    store_replies: StrictBool | None = None
    charge_failed: StrictBool | None = None
    restart_streams: StrictBool | None = None

    def allows_model(self, model: str) -> bool:
        """Whether this envelope lets the model pass."""
        return self.models is None or "*" in self.models or model in self.models


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """One envelope that has a policy of its own."""

    kind: PolicyScope
    id: str
    policy: EnvelopePolicy

    @property
    def subject(self) -> str:
        """The envelope as a sentence begins with it."""
        return SUBJECTS.get(self.kind) or f"The run {self.id}"

    def ref(self) -> dict[str, str | None]:
        """The envelope as errors name it."""
        return {"kind": self.kind, "id": self.id, "window": None}


def effective(policies: Iterable[EnvelopePolicy | None]) -> Policy:
    """What is left when every policy narrows the ones before it."""
    said = [policy for policy in policies if policy is not None]
    default = Policy()
    models, route_types = default.models, default.route_types
    for policy in said:
        if policy.models is not None and "*" not in policy.models:
            models = policy.models if "*" in models else [model for model in models if model in policy.models]
        if policy.route_types is not None:
            route_types = [kind for kind in route_types if kind in policy.route_types]
    return Policy(
        models=models,
        route_types=route_types,
        fallback=all(policy.fallback is not False for policy in said),
        cross_bucket=_permitted(policy.cross_bucket for policy in said),
        charge_failed=_permitted(policy.charge_failed for policy in said),
        restart_streams=_permitted(policy.restart_streams for policy in said),
        store_replies=all(policy.store_replies is not False for policy in said),
        max_attempts=min(
            (policy.max_attempts for policy in said if policy.max_attempts is not None), default=default.max_attempts
        ),
    )


def _permitted(said: Iterable[bool | None]) -> bool:
    """Whether one permits it and none forbids it."""
    opinions = [opinion for opinion in said if opinion is not None]
    return bool(opinions) and all(opinions)


def read_policy(value: object) -> EnvelopePolicy | None:
    """A policy as Postgres has it."""
    return None if value is None else EnvelopePolicy.model_validate(value)


def route_limits(steps: Iterable[PolicyStep]) -> orjson.Fragment | None:
    """The envelopes that leave out a route type, as router is told of them, None where there are none."""
    every = set(Policy().route_types)
    told = [
        {"kind": step.kind, "id": step.id, "route_types": step.policy.route_types}
        for step in steps
        if step.policy.route_types is not None and not every <= set(step.policy.route_types)
    ]
    return orjson.Fragment(orjson.dumps(told)) if told else None
