"""Who stands behind an API key, as the hot path needs it: looked up once, kept in memory, checked on every call."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import orjson

from schemas.calls import Policy
from schemas.requests import KeyRef
from schemas.rules import RunRules
from schemas.runs import RunMembership, narrowed
from services.edge.client_address import Network, parse_networks
from services.edge.errors import ForbiddenError, InvalidApiKeyError, KeyExpiredError, NotFoundError
from services.edge.pace import MinuteLimit
from services.edge.policies import EnvelopePolicy, PolicyStep, effective, route_limits

FrozenScope = Literal["account", "project", "key"]
NOTHING = EnvelopePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One API key with the state and the policies of its project and account, as Postgres has it."""

    key_id: str
    name: str
    environment: str
    policy: EnvelopePolicy | None
    project_policy: EnvelopePolicy | None = None
    account_policy: EnvelopePolicy | None = None
    project_id: str
    account_id: str
    secret_hmac: bytes
    pepper_version: int
    revoked: bool
    frozen: FrozenScope | None
    frozen_why: str | None = None
    expires_at: datetime | None = None
    allowed_ips: Sequence[str] | None = None
    previous_hmac: bytes | None = None
    previous_pepper_version: int | None = None
    previous_expires_at: datetime | None = None
    account_requests: int | None = None
    account_tokens: int | None = None
    project_requests: int | None = None
    project_tokens: int | None = None
    key_requests: int | None = None
    key_tokens: int | None = None

    def minute_limits(self) -> tuple[MinuteLimit, ...]:
        """What the envelopes allow in a minute, the outermost first; those without a limit are left out."""
        account = MinuteLimit("account", self.account_id, self.account_requests, self.account_tokens)
        project = MinuteLimit("project", self.project_id, self.project_requests, self.project_tokens)
        key = MinuteLimit("key", self.key_id, self.key_requests, self.key_tokens)
        return tuple(limit for limit in (account, project, key) if limit.requests is not None or limit.tokens is not None)

    def steps(self) -> tuple[PolicyStep, ...]:
        """The envelopes that have a policy, the outermost first."""
        account = PolicyStep("account", self.account_id, self.account_policy or NOTHING)
        project = PolicyStep("project", self.project_id, self.project_policy or NOTHING)
        key = PolicyStep("key", self.key_id, self.policy or NOTHING)
        return tuple(step for step in (account, project, key) if step.policy != NOTHING)


@dataclass(frozen=True, slots=True)
class Caller:
    """A key whose secret was proven. `policy` is what `steps` come to; JSON parts of the call context are rendered once.

    `frozen_why` is the rule, the alert and the numbers where a rule of alerts froze it.
    `expires_at_s` is when the key's time is over, `secret_until_s` when that of a secret is which a rotation replaced; both in
    seconds of the epoch. `networks` are the only ones that it may be used from, None: any.
    """

    key: KeyRef
    account_id: str
    environment: str
    policy: Policy
    steps: tuple[PolicyStep, ...]
    revoked: bool
    frozen: FrozenScope | None
    frozen_why: str | None
    expires_at_s: float | None
    secret_until_s: float | None
    networks: tuple[Network, ...] | None
    minute_limits: tuple[MinuteLimit, ...]
    key_json: orjson.Fragment = field(compare=False, repr=False)
    policy_json: orjson.Fragment = field(compare=False, repr=False)
    route_limits_json: orjson.Fragment | None = field(compare=False, repr=False)

    @classmethod
    def of(cls, row: KeyRow, *, by_previous_secret: bool = False) -> "Caller":
        """The caller behind a row, who presented the secret that the last rotation replaced or the present one."""
        key = KeyRef(project_id=row.project_id, key_id=row.key_id, key_name=row.name)
        steps = row.steps()
        policy = effective(step.policy for step in steps)
        return cls(
            key=key,
            account_id=row.account_id,
            environment=row.environment,
            policy=policy,
            steps=steps,
            revoked=row.revoked,
            frozen=row.frozen,
            frozen_why=row.frozen_why,
            expires_at_s=None if row.expires_at is None else row.expires_at.timestamp(),
            secret_until_s=row.previous_expires_at.timestamp() if by_previous_secret and row.previous_expires_at else None,
            networks=None if row.allowed_ips is None else parse_networks(row.allowed_ips),
            minute_limits=row.minute_limits(),
            key_json=orjson.Fragment(key.to_json()),
            policy_json=orjson.Fragment(policy.to_json()),
            route_limits_json=route_limits(steps),
        )

    def within(self, run: RunMembership) -> "Caller":
        """The same key as a member of its run: the run narrows its policy.

        A run may permit crossing buckets beyond its key, since it names the money of each; never beyond account or project.
        """
        policy = narrowed(self.policy, run.rules)
        if any(step.policy.cross_bucket is False for step in self.steps if step.kind != "key"):
            policy = policy.model_copy(update={"cross_bucket": False})
        rules = EnvelopePolicy.model_validate(run.rules.model_dump())
        steps = (*self.steps, PolicyStep("run", run.run_id, rules))
        return replace(
            self,
            policy=policy,
            steps=steps,
            policy_json=orjson.Fragment(policy.to_json()),
            route_limits_json=route_limits(steps),
        )

    def require_standing(self, clock: Callable[[], float] = time.time) -> None:
        """Raise what a revoked, expired or frozen key deserves."""
        self.require_unrevoked(clock)
        if self.frozen is not None:
            subject = {"account": "account of this API key", "project": "project of this API key", "key": "API key"}[
                self.frozen
            ]
            why = f" by an alert ({self.frozen_why})" if self.frozen_why else ""
            who = "An owner of the account can unfreeze it, or an operator if an operator froze it."
            message = f"The {subject} is frozen{why}. {who}"
            raise ForbiddenError(f"{self.frozen}_frozen", message)

    def require_unrevoked(self, clock: Callable[[], float] = time.time) -> None:
        """Raise what a revoked or expired key deserves. What only gives money back, a frozen one may do too."""
        if self.revoked:
            raise InvalidApiKeyError("This API key was revoked. Ask whoever runs this Tollbook for another.")
        if self.expires_at_s is not None and clock() >= self.expires_at_s:
            raise KeyExpiredError("This API key has expired. Ask whoever runs this Tollbook for another.")
        if self.secret_until_s is not None and clock() >= self.secret_until_s:
            raise KeyExpiredError("This API key was rotated, and the time of its former secret is over: use the new one.")

    def require_rules(self, rules: RunRules) -> None:
        """Raise :class:`ForbiddenError` where a run's rules ask for what an envelope around it refuses."""
        for model in rules.models or []:
            if model != "*":
                self.require_model(model, param="models")
        for step in self.steps:
            said = step.policy
            refused = {
                "route_types": said.route_types is not None and not set(rules.route_types or []) <= set(said.route_types),
                "fallback": said.fallback is False and rules.fallback is True,
                "cross_bucket": said.cross_bucket is False and rules.cross_bucket is True and step.kind != "key",
            }
            for param, is_refused in refused.items():
                if is_refused:
                    message = f"{step.subject} does not allow what '{param}' asks for."
                    raise ForbiddenError("rule_not_allowed", message, param=param, facts={"envelope": step.ref()})

    def require_route(self, model: str, route_types: Collection[str], *, param: str = "model") -> None:
        """Raise :class:`ForbiddenError`, naming the envelope after which none of a model's route types was left."""
        left = set(route_types)
        if left & set(self.policy.route_types):
            return
        for step in self.steps:
            left &= set(route_types if step.policy.route_types is None else step.policy.route_types)
            if not left:
                message = f"{step.subject} allows no route that serves the model {model!r}."
                raise ForbiddenError("route_not_allowed", message, param=param, facts={"envelope": step.ref()})
        raise NotFoundError("model_not_found", f"No route serves the model {model!r}.", param=param)

    def require_model(self, model: str, *, param: str = "model") -> None:
        """Raise :class:`ForbiddenError`, naming the envelope whose policy does not list the model."""
        if self.policy.allows_model(model):
            return
        step = next(step for step in self.steps if not step.policy.allows_model(model))
        message = f"{step.subject} may not use the model {model!r}."
        raise ForbiddenError("model_not_allowed", message, param=param, facts={"envelope": step.ref()})
