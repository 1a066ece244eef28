"""Wire models of runs and estimates: what edge asks of settlement under `/internal/accounts/{account_id}/`."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.attempts import RouteType
from schemas.calls import Policy
from schemas.envelope import Contract, Identifier, Tags, UtcDatetime
from schemas.money import AmountError, TokenCount, parse_amount
from schemas.requests import KeyRef
from schemas.rules import RunRules

RunState = Literal["open", "closing", "closed"]
LONGEST_RUN = timedelta(days=31)
DEFAULT_RUN = timedelta(days=1)
MAX_BUCKETS = 8
RUN_PREFIX = "run_"


def _exact(text: str) -> str:
    try:
        nano = parse_amount(text)
    except AmountError as error:
        raise ValueError(str(error)) from None
    if nano == 0:
        raise ValueError("a budget is more than zero")
    return text


Budget = Annotated[
    dict[Identifier, Annotated[str, Field(max_length=40), AfterValidator(_exact)]], Field(min_length=1, max_length=MAX_BUCKETS)
]
"""Decimal amounts by bucket, in the bucket's currency: `{"credit": "5.00"}`."""


class RunOpening(Contract):
    """Body of `POST …/runs`. `reserve`: the budget is earmarked in its buckets now; without it the budget is a limit only.

    `idempotency_key` is the client's own, in the scope of its API key: the same key and body give the same run.
    """

    key: KeyRef
    environment: Identifier = "default"
    tags: Tags = Field(default_factory=dict)
    label: Annotated[str, Field(max_length=256)] = ""
    budget: Budget
    rules: RunRules = Field(default_factory=RunRules)
    reserve: bool = True
    deadline_at: UtcDatetime
    idempotency_key: Identifier | None = None


class RunExtension(Contract):
    """Body of `POST …/runs/{run_id}/extend`: what is added to the budget, a later deadline, or both."""

    key: KeyRef
    budget: Budget | None = None
    deadline_at: UtcDatetime | None = None
    idempotency_key: Identifier | None = None


class RunClosing(Contract):
    """Body of `POST …/runs/{run_id}/close`."""

    key: KeyRef


class RunMembership(Contract):
    """Answer to `GET …/runs/{run_id}/membership`: what edge needs to let a request in. `rules` never change."""

    run_id: Identifier
    project_id: Identifier
    key_id: Identifier
    buckets: list[Identifier]
    rules: RunRules


def narrowed(policy: Policy, rules: RunRules) -> Policy:
    """The key's policy under the run's rules."""
    models = policy.models
    if rules.models is not None and "*" not in rules.models:
        models = rules.models if "*" in models else [model for model in rules.models if model in models]
    route_types = policy.route_types
    if rules.route_types is not None:
        route_types = [each for each in route_types if each in rules.route_types]
    return Policy(
        models=models,
        route_types=route_types,
        fallback=policy.fallback and rules.fallback is not False,
        store_replies=policy.store_replies,
        charge_failed=policy.charge_failed,
        restart_streams=policy.restart_streams,
        cross_bucket=policy.cross_bucket if rules.cross_bucket is None else rules.cross_bucket,
        max_attempts=policy.max_attempts if rules.max_attempts is None else min(policy.max_attempts, rules.max_attempts),
    )


class TokenRange(Contract):
    """The least and the most tokens that one request is expected to have."""

    low: TokenCount
    high: TokenCount


class EstimateCandidate(Contract):
    """A place where a model may be answered: a route type and the model as it is called there."""

    route_type: RouteType
    model: Identifier


class EstimateItem(Contract):
    """So many requests of one kind. `candidates`: everything that may answer, in the order of the plan."""

    model: Identifier
    requests: Annotated[int, Field(ge=1, le=10**9)]
    input_tokens: TokenRange
    output_tokens: TokenRange
    cached_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    candidates: Annotated[list[EstimateCandidate], Field(max_length=64)]


class EstimateAsk(Contract):
    """Body of `POST …/estimate`: a planned job, for a key."""

    key: KeyRef
    run_id: Identifier | None = None
    items: Annotated[list[EstimateItem], Field(min_length=1, max_length=100)]
