"""Wire models of the calls between services: edge → router (context), router → settlement (holds)."""

from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field

from schemas.attempts import RouteType
from schemas.envelope import Contract, Identifier, Tags, UtcDatetime
from schemas.ledger import EnvelopeKind, EnvelopeRef
from schemas.money import AmountNano, Prices, SignedAmountNano, TokenCount
from schemas.requests import KeyRef

CONTEXT_HEADER = "x-tollbook-context"
"""Header from edge to router: a :class:`CallContext` as JSON."""
REJECTED_HEADER = "x-tollbook-rejected"
"""Header from router to edge, value = error code: refused before any upstream call, so edge writes RequestRejected."""
TOKENS_HEADER = "x-tollbook-tokens"
"""Header of a plain reply: how many tokens its answer took, every class of them."""
TOKENS_COMMENT = ": tollbook-tokens "
"""The same in a stream where :attr:`CallContext.tell_tokens` asks for it: this and the number, a line before the end."""


class Policy(Contract):
    """What a key may do. `models` and `route_types` are allow-lists; `["*"]` allows every model.

    `charge_failed` charges attempts that failed and reported what they used. `restart_streams` keeps a stream back until its
    first content, so that one which breaks before can be begun again at another attempt.
    """

    models: list[str] = Field(default_factory=lambda: ["*"])
    route_types: list[RouteType] = Field(default_factory=lambda: list(get_args(RouteType)))
    fallback: bool = True
    cross_bucket: bool = False
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 4
    store_replies: bool = True
    charge_failed: bool = False
    restart_streams: bool = False

    def allows_model(self, model: str) -> bool:
        """Whether the key may ask for the model."""
        return "*" in self.models or model in self.models


class RouteLimit(Contract):
    """An envelope whose own policy leaves out a route type: what `Policy.route_types` was narrowed by."""

    kind: EnvelopeKind
    id: Identifier
    route_types: list[RouteType]


class CallContext(Contract):
    """Who asks, as edge established it. Router trusts it because it came with edge's token.

    `policy` is what the policies of account, project, key and run come to; `route_limits` tells the outermost first which of
    them left out a route type, so that a refusal can name it.
    """

    request_id: UUID
    account_id: Identifier
    key: KeyRef
    environment: Identifier
    policy: Policy
    route_limits: list[RouteLimit] = Field(default_factory=list)
    tags: Tags = Field(default_factory=dict)
    run_id: Identifier | None = None
    client_request_id: str | None = None
    traceparent: str | None = None
    accepted_at: UtcDatetime
    tell_tokens: bool = False


class HoldCandidate(Contract):
    """A place of the plan that the hold may have to pay for."""

    channel: Identifier
    route_type: RouteType
    model: Identifier


class HoldRequest(Contract):
    """Bounds of one request. Router mints `hold_id`; asking again under it gives the same answer.

    `input_tokens_bound` is a true upper bound of the prompt. `max_output_tokens` is the client's own cap, None if it gave
    none. `choices` is OpenAI's `n`: the output bound counts for each. `attempts` is how many attempts the hold has to pay for:
    more than one where failed ones are charged too. `requested_model` and `client_api` are for the receipt: what the client
    asked for, which nobody else tells of a request that is refused or never ends.
    """

    hold_id: UUID
    request_id: UUID
    account_id: Identifier
    key: KeyRef
    environment: Identifier = "default"
    tags: Tags = Field(default_factory=dict)
    run_id: Identifier | None = None
    candidates: Annotated[list[HoldCandidate], Field(min_length=1, max_length=32)]
    input_tokens_bound: TokenCount
    max_output_tokens: TokenCount | None = None
    model_max_output_tokens: TokenCount
    choices: Annotated[int, Field(ge=1, le=128)] = 1
    attempts: Annotated[int, Field(ge=1, le=10)] = 1
    requested_model: Identifier | None = None
    client_api: Identifier | None = None
    deadline_at: UtcDatetime


class HoldGranted(Contract):
    """The hold is committed. `covered[i]` says whether candidate i is paid by this bucket; `prices[i]` is None where not.

    `output_cap` is the most output tokens per choice that the hold pays for: it is sent upstream as the cap.
    """

    status: Literal["held"] = "held"
    hold_id: UUID
    bucket: Identifier
    currency: Identifier
    amount_nano: AmountNano
    price_version: int
    output_cap: TokenCount
    covered: list[bool]
    prices: list[Prices | None]


class HoldRefusal(Contract):
    """No hold, and asking again under the same id says so again. `message` names envelope, what was needed, what was left.

    `held_nano` is what open holds occupy of what stopped it. `passing`: it would have passed if all of them had ended, so that
    asking again under another id may succeed within seconds.
    """

    status: Literal["refused"] = "refused"
    hold_id: UUID
    http_status: int
    code: Identifier
    message: str
    envelope: EnvelopeRef | None = None
    bucket: Identifier | None = None
    currency: Identifier | None = None
    needed_nano: AmountNano | None = None
    left_nano: SignedAmountNano | None = None
    resets_at: UtcDatetime | None = None
    held_nano: AmountNano | None = None
    passing: bool = False


HoldResult = Annotated[HoldGranted | HoldRefusal, Field(discriminator="status")]


class HoldBatch(Contract):
    """Body of `POST /internal/holds`."""

    holds: Annotated[list[HoldRequest], Field(min_length=1, max_length=256)]


class HoldBatchResult(Contract):
    """Answer to a :class:`HoldBatch`, in the same order."""

    results: list[HoldResult]


class HoldProgress(Contract):
    """A stream's sign of life: renews the hold's deadline and records how much output the client has seen so far."""

    hold_id: UUID
    deadline_at: UtcDatetime
    input_tokens: TokenCount
    output_tokens: TokenCount


class ProgressBatch(Contract):
    """Body of `POST /internal/holds/progress`."""

    holds: Annotated[list[HoldProgress], Field(min_length=1, max_length=1000)]


class IngressEvent(Contract):
    """One event that could not be written to Kafka. `value` is the event's JSON text, `key` the account id."""

    topic: Identifier
    key: Identifier
    type: Identifier
    event_id: UUID
    value: str


class IngressBatch(Contract):
    """Body of `POST /internal/ingress`."""

    events: Annotated[list[IngressEvent], Field(min_length=1, max_length=1000)]


class HoldClaim(Contract):
    """Who is about to make the upstream calls of a hold's request: one claimant per request, for ever."""

    hold_id: UUID
    claimant: Identifier


class ClaimBatch(Contract):
    """Body of `POST /internal/holds/claims`."""

    claims: Annotated[list[HoldClaim], Field(min_length=1, max_length=256)]


class ClaimResult(Contract):
    """The hold's state and who has claimed its request, None where nobody has: an ended hold takes no claim."""

    hold_id: UUID
    state: Literal["HELD", "CAPTURED", "RELEASED", "EXPIRED", "REFUSED", "UNKNOWN"]
    claimant: Identifier | None = None


class AccountFound(Contract):
    """An account that there is."""

    account_id: Identifier


class AccountsFound(Contract):
    """Answer of edge to `GET /internal/accounts?id=`: those of the asked ones that there are."""

    data: list[AccountFound]


class ClaimBatchResult(Contract):
    """Answer to a :class:`ClaimBatch`, in the same order."""

    results: list[ClaimResult]
