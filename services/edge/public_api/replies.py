"""The shapes of what edge answers under `/v1`, for the OpenAPI document alone: edge itself hands on what its peers say.

Amounts are decimal texts in the bucket's currency, `*_nano` the same as integers of 1e-9. Instants are RFC 3339 in UTC.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.attempts import Candidate, Fallback
from schemas.rules import RunRules

Item = TypeVar("Item")
Nano = int
Amount = Annotated[str, Field(description="A decimal amount in the bucket's currency.", examples=["1.25"])]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Reply(BaseModel):
    """A JSON object; later versions may add members."""

    model_config = ConfigDict(extra="allow")


class ErrorFacts(Reply):
    """What went wrong. `code` is for programs, `message` says what to do, `param` names what is wrong in the request."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Reply):
    """Every refusal and failure, in OpenAI's shape."""

    error: ErrorFacts


class MessagesErrorFacts(Reply):
    """What went wrong, in Anthropic's words."""

    type: str
    message: str


class MessagesError(Reply):
    """Every refusal and failure of `/v1/messages`, in Anthropic's shape."""

    type: Literal["error"]
    error: MessagesErrorFacts


class Page(Reply, Generic[Item]):
    """One page. `next_after` goes into `after` for the next; null on the last."""

    object: Literal["list"]
    data: list[Item]
    next_after: str | int | None = None


class ListOf(Reply, Generic[Item]):
    """A list as OpenAI's and Anthropic's clients page it: by `after` with the last id."""

    object: Literal["list"]
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Model(Reply):
    """A model that the key may ask for. `pricing` by route type, per million tokens; `routes` are route types."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    mode: str | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    routes: list[str]
    pricing: dict[str, dict[str, Any]]


class Balance(Reply):
    """A bucket of the account. `available` is what a new request may hold; `owed` is a debt that stops new ones."""

    object: Literal["balance"]
    bucket: str
    currency: str
    funding: Literal["prepaid", "limit"]
    posted: Amount
    held: Amount
    available: Amount
    earmarked: Amount
    promotional: Amount
    owed: Amount
    posted_nano: Nano
    held_nano: Nano
    available_nano: Nano
    promotions: list[dict[str, Any]]


class Balances(Reply):
    """Every bucket of the account."""

    object: Literal["list"]
    data: list[Balance]


class TopUp(Reply):
    """A payment into a bucket."""

    txn_id: str
    at: Instant
    provider: str
    payment_id: str
    bucket: str
    currency: str
    amount: Amount
    amount_nano: Nano


class RunBudget(Reply):
    """What a run may spend of one bucket, and what it did."""

    bucket: str
    currency: str
    budget: Amount
    spent: Amount
    held: Amount
    left: Amount
    returned: Amount
    overrun: Amount


class Run(Reply):
    """A run: a budget for a task."""

    object: Literal["run"]
    id: str
    state: Literal["open", "closing", "closed"]
    close_reason: str | None
    label: str
    account_id: str
    project_id: str
    key_id: str
    environment: str
    tags: dict[str, str]
    reserve: bool
    rules: RunRules
    opened_at: Instant
    deadline_at: Instant
    closed_at: Instant | None
    budgets: list[RunBudget]


class EstimatedRoute(Reply):
    """What the job costs on one route type, and whether it can be paid."""

    route_type: str
    bucket: str
    currency: str
    low: Amount
    high: Amount
    available: Amount
    largest_hold: Amount
    payable: Literal["yes", "perhaps", "no"]
    stops: dict[str, Any] | None
    unpriced: list[str]


class Estimate(Reply):
    """What a planned job would cost, by route type."""

    object: Literal["estimate"]
    price_version: int
    routes: list[EstimatedRoute]
    explanation: list[str]


class Receipt(Reply):
    """Who asked, what answered, what was retried, which balance paid, how much and why."""

    object: Literal["receipt"]
    request_id: str
    status: Literal["pending", "settled", "released", "refused", "expired"]
    account_id: str
    project_id: str
    key_id: str
    environment: str | None
    tags: dict[str, str]
    run_id: str | None
    requested_model: str | None
    plan: list[Candidate | dict[str, Any]]
    attempts: list[dict[str, Any]]
    fallbacks: list[Fallback]
    charge: dict[str, Any] | None
    balance: dict[str, Any] | None
    holds: list[dict[str, Any]]
    refusal: dict[str, Any] | None
    explanation: list[str]


class SigningKey(Reply):
    """A public key that receipts and checkpoints are checked with."""

    key_id: str
    algorithm: str
    public_key: str
    status: Literal["current", "former"]


class SigningKeys(Reply):
    """All of them, the current one first."""

    data: list[SigningKey]


class Cost(Reply):
    """What was charged in one currency."""

    currency: str
    cost_nano: Nano
    cost: Amount


class UsageRow(Reply):
    """Usage of one group, which further members name: `day`, `hour`, `key_id`, `model`, `tag:NAME` and so on."""

    requests: int
    failed: int
    attempts: int
    fallbacks: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    burned_tokens: int
    costs: list[Cost]


class UsageReport(Reply):
    """Usage from an instant to before another, a page of it; `totals` is of all pages."""

    object: Literal["usage"]
    since: Annotated[Instant, Field(alias="from")]
    to: Instant
    timezone: str
    interval: str
    by: list[str]
    totals: UsageRow
    data: list[UsageRow]
    next_after: str | None


class SpanTotals(Reply):
    """What a span cost, and the charged requests that were planned in the currency, with their tokens."""

    cost_nano: Nano
    cost: Amount
    requests: int
    fallbacks: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int


class EffectContributor(Reply):
    """Who or what gave much to an effect; in `mix`, the models that lost and won the most of its requests."""

    by: Literal["model", "route", "key", "project"]
    id: str
    name: str | None
    change_nano: int
    change: str
    moved_from: str | None
    moved_to: str | None


class Effect(Reply):
    """One part of the change."""

    effect: Literal[
        "volume", "prompt_size", "cache", "output_size", "mix", "price", "fallback", "retry", "unpriced", "rounding"
    ]
    change_nano: int
    change: str
    sentence: str
    contributors: list[EffectContributor]


class CurrencyExplanation(Reply):
    """Of one currency. The effects add up to the change, to the nano."""

    currency: str
    before: SpanTotals
    after: SpanTotals
    change_nano: int
    change: str
    summary: str
    effects: list[Effect]
    notes: list[str]


class UsageExplanation(Reply):
    """Why the cost of a span is another than that of the span that it is compared with: a block per currency."""

    object: Literal["usage.explanation"]
    since: Annotated[Instant, Field(alias="from")]
    to: Instant
    against_from: Instant
    against_to: Instant
    timezone: str
    data: list[CurrencyExplanation]


class File(Reply):
    """An uploaded file, or one that a batch left."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str


class DeletedFile(Reply):
    """A file that is no more."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class RequestCounts(Reply):
    """How many lines there are, and how many have ended."""

    total: int
    completed: int
    failed: int


class Batch(Reply):
    """A file of requests that is being answered."""

    id: str
    object: Literal["batch"]
    endpoint: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    completion_window: str
    status: Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
    created_at: int
    expires_at: int
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    run_id: str | None


class Answer(Reply):
    """A model's reply in its API's own shape; `usage` also has `cost`, `currency` and `bucket`."""

    usage: dict[str, Any]


class Health(Reply):
    """Whether the process runs."""

    ok: bool


class Readiness(Reply):
    """Whether the process can do its work, and what is missing."""

    ready: bool
