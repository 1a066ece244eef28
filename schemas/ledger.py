"""Events of `tollbook.ledger.v1`, written by settlement's outbox. Amounts are nano of `currency`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime
from schemas.money import AmountNano, Prices, SignedAmountNano, TokenCount, Usage
from schemas.requests import KeyRef
from schemas.rules import RunRules

OPERATOR = "operator"
"""The account id of events that concern no customer."""

EnvelopeKind = Literal["bucket", "account", "project", "key", "run"]
WindowKind = Literal["total", "day", "month", "run"]


class EnvelopeRef(Contract):
    """An envelope and one of its windows; `window` is None for a bucket itself."""

    kind: EnvelopeKind
    id: Identifier
    window: WindowKind | None = None


class BalanceMove(Contract):
    """A bucket before and after a posting, and what was held after it; with `run`, that run's reserve of the bucket."""

    bucket: Identifier
    currency: Identifier
    before_nano: SignedAmountNano
    after_nano: SignedAmountNano
    held_after_nano: AmountNano
    run: Identifier | None = None


class HoldPlacedData(Contract):
    hold_id: UUID
    key: KeyRef
    bucket: Identifier
    currency: Identifier
    amount_nano: AmountNano
    price_version: int
    input_tokens_bound: TokenCount
    output_cap: TokenCount
    channel: Identifier
    deadline_at: UtcDatetime


class HoldRefusedData(Contract):
    """`held_nano` is what open holds occupied of what stopped it; `passing`: it would have passed if all had ended."""

    hold_id: UUID
    key: KeyRef
    code: Identifier
    message: str
    envelope: EnvelopeRef | None
    currency: Identifier | None
    needed_nano: AmountNano | None
    left_nano: SignedAmountNano | None
    resets_at: UtcDatetime | None
    held_nano: AmountNano | None = None
    passing: bool = False


class PlannedRoute(Contract):
    """What the first candidate of a plan would have answered with: what a price depends on."""

    route_type: Identifier
    upstream_model: Identifier


class CapturedData(Contract):
    """Money moved for one request. `captured_nano` + `released_nano` = the hold; `overrun_nano` is what exceeded it.

    Captured and overrun are the whole charge: `usage` at the price of what answered, and `beside_nano` for failed attempts that
    a policy charges beside it. `planned` is the plan's first candidate, whoever answered; None in events of before it was
    recorded.
    """

    hold_id: UUID
    txn_id: UUID
    key: KeyRef
    requested_model: Identifier
    channel: Identifier
    route_type: Identifier
    upstream_model: Identifier
    usage: Usage
    price_version: int
    hold_nano: AmountNano
    captured_nano: AmountNano
    released_nano: AmountNano
    overrun_nano: AmountNano = 0
    balance: BalanceMove
    planned: PlannedRoute | None = None
    beside_nano: AmountNano = 0


class ReleasedData(Contract):
    hold_id: UUID
    key: KeyRef
    bucket: Identifier
    currency: Identifier
    amount_nano: AmountNano
    reason: Identifier


class ExpiredData(Contract):
    """A hold whose request never completed: charged for the last recorded progress at most, the rest is `exposure_nano`."""

    hold_id: UUID
    key: KeyRef
    bucket: Identifier
    currency: Identifier
    charged_nano: AmountNano
    exposure_nano: AmountNano
    case_id: UUID


class LateUsageData(Contract):
    hold_id: UUID
    key: KeyRef
    currency: Identifier
    amount_nano: AmountNano
    usage: Usage


class ToppedUpData(Contract):
    txn_id: UUID
    provider: Identifier
    payment_id: Identifier
    amount_nano: Annotated[int, Field(strict=True, gt=0)]
    balance: BalanceMove


class PriceItem(Contract):
    """One line of a price book: what a model costs on a route type, in the currency of that route type's bucket."""

    route_type: Identifier
    model: Identifier
    currency: Identifier
    prices: Prices


class PriceBookPublishedData(Contract):
    """A version of all prices. `effective_from` is from when it counts; None for one that counts since it was published."""

    version: int
    sha256: Identifier
    items: list[PriceItem]
    effective_from: UtcDatetime | None = None


class LimitChangedData(Contract):
    envelope: EnvelopeRef
    currency: Identifier
    limit_nano: AmountNano | None
    author: Identifier


class RunBudget(Contract):
    """What a run was given in one bucket. The moves are None where the budget is a limit and nothing was earmarked."""

    bucket: Identifier
    currency: Identifier
    amount_nano: AmountNano
    balance: BalanceMove | None = None
    reserve: BalanceMove | None = None


class RunOpenedData(Contract):
    """A budget for a task. `txn_id` earmarks it; it is a transaction without postings where nothing is earmarked."""

    txn_id: UUID
    run_id: Identifier
    key: KeyRef
    label: str
    rules: RunRules
    reserved: bool
    deadline_at: UtcDatetime
    budgets: list[RunBudget]


class RunExtendedData(Contract):
    """More budget, a later deadline, or both. `deadline_at` is the one now in force."""

    txn_id: UUID
    run_id: Identifier
    key: KeyRef
    deadline_at: UtcDatetime
    budgets: list[RunBudget]


class RunReturn(Contract):
    """What a run's end did to one bucket.

    `returned_nano` left the reserve for the bucket, of which `returned_repaid_nano` paid what the bucket owed. A debt of the
    reserve was paid by itself (`repaid_nano`) and by the bucket (`paid_by_bucket_nano`); what is left of it the bucket owes
    (`owed_by_bucket_nano`).
    """

    bucket: Identifier
    currency: Identifier
    returned_nano: AmountNano = 0
    returned_repaid_nano: AmountNano = 0
    repaid_nano: AmountNano = 0
    paid_by_bucket_nano: AmountNano = 0
    owed_by_bucket_nano: AmountNano = 0
    balance: BalanceMove | None = None
    reserve: BalanceMove | None = None


class RunClosedData(Contract):
    """The account of a run is final."""

    txn_id: UUID
    run_id: Identifier
    key: KeyRef
    reason: Identifier
    buckets: list[RunReturn]


class CaseOpenedData(Contract):
    case_id: UUID
    kind: Identifier
    detail: str
    exposure_nano: AmountNano | None = None
    currency: Identifier | None = None


class CaseClosedData(Contract):
    """`decision` is what was decided of an expired hold's exposure, where anything was."""

    case_id: UUID
    resolution: str
    author: Identifier
    decision: Identifier | None = None


class CheckpointPublishedData(Contract):
    """The seal's promise: the root over the first `size` entries of the ledger; `note` is the signed form of the same."""

    size: Annotated[int, Field(strict=True, gt=0)]
    root: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    key_id: Identifier
    note: Annotated[str, Field(max_length=4096)]
    sealed_at: UtcDatetime


class HoldPlaced(Event):
    """Money was set aside for a request."""

    type: Literal["HoldPlaced"] = "HoldPlaced"
    data: HoldPlacedData


class HoldRefused(Event):
    """An envelope or a bucket could not carry the hold."""

    type: Literal["HoldRefused"] = "HoldRefused"
    data: HoldRefusedData


class Captured(Event):
    """A hold was captured: the charge is posted."""

    type: Literal["Captured"] = "Captured"
    data: CapturedData


class Released(Event):
    """A hold was given back whole."""

    type: Literal["Released"] = "Released"
    data: ReleasedData


class Expired(Event):
    """A hold ran out of time and became a case."""

    type: Literal["Expired"] = "Expired"
    data: ExpiredData


class LateUsage(Event):
    """Usage arrived after its hold had expired: posted to write-off, never to the customer."""

    type: Literal["LateUsage"] = "LateUsage"
    data: LateUsageData


class ToppedUp(Event):
    """A payment was added to a bucket."""

    type: Literal["ToppedUp"] = "ToppedUp"
    data: ToppedUpData


class PriceBookPublished(Event):
    """A new version of all price lists; `account_id` is "operator"."""

    type: Literal["PriceBookPublished"] = "PriceBookPublished"
    data: PriceBookPublishedData


class LimitChanged(Event):
    """A limit of an envelope was set, changed or removed."""

    type: Literal["LimitChanged"] = "LimitChanged"
    data: LimitChangedData


class RunOpened(Event):
    """A run was opened, and its budget earmarked unless it is a limit only."""

    type: Literal["RunOpened"] = "RunOpened"
    data: RunOpenedData


class RunExtended(Event):
    """A run was given more."""

    type: Literal["RunExtended"] = "RunExtended"
    data: RunExtendedData


class RunClosed(Event):
    """A run has ended and what was left of its reserve went back."""

    type: Literal["RunClosed"] = "RunClosed"
    data: RunClosedData


class CaseOpened(Event):
    """Something needs a person's decision."""

    type: Literal["CaseOpened"] = "CaseOpened"
    data: CaseOpenedData


class CaseClosed(Event):
    """A case was decided."""

    type: Literal["CaseClosed"] = "CaseClosed"
    data: CaseClosedData


class CheckpointPublished(Event):
    """The ledger as far as it is sealed was signed; `account_id` is "operator"."""

    type: Literal["CheckpointPublished"] = "CheckpointPublished"
    data: CheckpointPublishedData
