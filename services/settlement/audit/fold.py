"""One account's books from its events alone, every charge priced anew. Pure: the ledger's own decisions over values in memory.

The ledger's topic says in which order things happened to an account. What is not the ledger's own doing (payments, expiries,
prices) is taken as given; where it tells that a request was settled, the request's completion is decided and priced here.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.attempts import RequestCompleted
from schemas.corrections import Refunded
from schemas.envelope import Event
from schemas.ledger import Captured, Expired, HoldPlaced, LimitChanged, RunExtended, RunOpened
from services.settlement import accounts
from services.settlement.accounts import CREDIT, LedgerAccount
from services.settlement.audit.given import given
from services.settlement.audit.spending import Envelope, Placed, Spending
from services.settlement.balances import Buckets, BucketState, Capture
from services.settlement.entries import Postings, post_fixed, post_overrun
from services.settlement.errors import PoisonError
from services.settlement.pricebook import PriceBook
from services.settlement.settling import EXPIRED, HELD, HoldRow, Settlement, decide

BookOf = Callable[[int], PriceBook | None]
SETTLING = frozenset({"Captured", "Released", "LateUsage"})
"""Types that tell that a request was settled."""
REMEMBERED = 100_000
"""Requests whose several events are told from a second settlement."""


@dataclass(frozen=True, slots=True)
class Around:
    """What some events need beside themselves: completions by request, and for refunds how the charged holds were placed and
    where in the account's story they ended."""

    completions: Mapping[UUID, RequestCompleted] = field(default_factory=dict)
    placed: Mapping[UUID, tuple[int, HoldPlaced]] = field(default_factory=dict)
    ended: Mapping[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """What a transaction must have moved on an account. `whole`: every line of the transaction is told."""

    txn: UUID | None
    idem_key: str | None
    whole: bool
    request_id: UUID | None
    account: str
    credit: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that does not add up, found on the way."""

    kind: str
    what: str


@dataclass(slots=True)
class Pot:
    """A bucket (or a run's reserve of it) with its number here and its account's name in the ledger."""

    number: int
    name: str
    currency: str
    buckets: Buckets

    @property
    def state(self) -> BucketState:
        """What is posted, held and owed."""
        return self.buckets.states[0]


@dataclass(slots=True)
class Output:
    """What the fold has to tell since it was last asked."""

    lines: list[Line] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


class AccountFold:
    """The state of one account while its events are applied."""

    def __init__(
        self,
        holder: str,
        *,
        envelopes: Iterable[Envelope],
        cost_centres: Iterable[tuple[str, str]],
        closings: Mapping[str, datetime],
        book_of: BookOf,
    ) -> None:
        """`cost_centres` are the buckets, with their currency, that a limit funds; `closings` when runs began to close."""
        self._holder = holder
        self._book_of = book_of
        self._closings = closings
        self.spending = Spending(envelopes)
        self.pots: dict[tuple[str, str], Pot] = {}
        self.holds: dict[UUID, Placed] = {}
        self.output = Output()
        self._reserving: set[str] = set()
        self._settled: OrderedDict[UUID, int | None] = OrderedDict()
        self._diverged: set[str] = set()
        for bucket, currency in cost_centres:
            self._open(bucket, "", currency, unlimited=True)

    def apply(self, event: Event, around: Around, position: int) -> None:
        """Apply the account's next event, at its place in the account's story. `around` has what it may name."""
        if isinstance(event, HoldPlaced):
            self._place(event, position)
        elif event.type in SETTLING:
            self._told(event, around)
        elif isinstance(event, Expired):
            self._expire(event)
        else:
            self._note(event, around, position)
            self._give(event)

    def finish(self, completions: Iterable[RequestCompleted]) -> None:
        """Settle what the ledger's topic does not tell of; the missing events themselves are found elsewhere."""
        for completion in completions:
            assert completion.request_id is not None
            if completion.request_id not in self._settled:
                self._settle(completion)

    def waiting(self) -> list[UUID]:
        """Requests whose holds were not settled yet."""
        return list({placed.hold.request_id for placed in self.holds.values()})

    def _place(self, event: HoldPlaced, position: int) -> None:
        hold = self._hold_of(event)
        pot = self._pot_of(hold)
        if pot is not None:
            hold.account = pot.number
            pot.state.held += hold.amount_nano
        placed = self.holds[hold.id] = Placed(hold, event.occurred_at, position)
        self.spending.held(placed)

    def _hold_of(self, event: HoldPlaced) -> HoldRow:
        data, run = event.data, event.run_id or ""
        assert event.request_id is not None
        return HoldRow(
            id=data.hold_id,
            request_id=event.request_id,
            holder=event.account_id,
            project_id=data.key.project_id,
            key_id=data.key.key_id,
            bucket=data.bucket,
            currency=data.currency,
            account=None,
            state=HELD,
            amount_nano=data.amount_nano,
            captured_nano=0,
            price_version=data.price_version,
            windows=[],
            run=run,
            reserved=run in self._reserving,
        )

    def _note(self, event: Event, around: Around, position: int) -> None:
        """What later events, or windows, need to know of an event that is taken as given."""
        if isinstance(event, RunOpened | RunExtended):
            self._note_run(event, position)
        elif isinstance(event, LimitChanged):
            of = event.data.envelope
            self.spending.opened(Envelope(of.kind, of.id, event.data.currency, of.window or ""), position)
        elif isinstance(event, Refunded):
            self._refund(event, around)

    def _note_run(self, event: RunOpened | RunExtended, position: int) -> None:
        """Whether a reserve pays for the run, or else which limits it has."""
        run = event.data.run_id
        if isinstance(event, RunOpened) and event.data.reserved:
            self._reserving.add(run)
        if run not in self._reserving:
            for budget in event.data.budgets:
                self.spending.opened(Envelope("run", f"{run}/{budget.bucket}", budget.currency, "run"), position)

    def _refund(self, event: Refunded, around: Around) -> None:
        """What a refund gives back to windows; to buckets it does what it says."""
        data = event.data
        if data.hold_id not in around.placed:
            self._remark("unknown_hold", f"Refunded {event.event_id}: hold {data.hold_id} was never placed")
            return
        position, event_placed = around.placed[data.hold_id]
        hold = self._hold_of(event_placed)
        before = data.refunded_nano - data.amount_nano
        beyond = min(data.amount_nano, max(data.charged_nano - hold.amount_nano - before, 0))
        closing = self._closings.get(hold.run)
        self.spending.refunded(
            Placed(hold, event_placed.occurred_at, position),
            around.ended.get(data.hold_id, -1),
            event.occurred_at,
            nano=data.amount_nano,
            beyond=beyond,
            run_open=closing is None or event.occurred_at < closing,
        )

    def _told(self, event: Event, around: Around) -> None:
        request = event.request_id
        if request is None:
            return
        if request not in self._settled:
            completion = around.completions.get(request)
            if completion is None:
                self._remark("no_completion", f"{event.type} {event.event_id}: request {request} never completed")
                return
            self._settle(completion)
        if isinstance(event, Captured):
            self._compare(event)

    def _settle(self, completion: RequestCompleted) -> None:
        assert completion.request_id is not None
        holds = {each.hold.id: each.hold for each in self._holds_of(completion)}
        try:
            settlement = decide(completion, holds, self._book_of)
        except PoisonError as error:
            self._remark("undecidable", f"request {completion.request_id}: {error}")
            return
        paid = self._end(settlement)
        self._remember(completion.request_id, settlement.capture.nano if settlement.capture else None)
        self._add_lines(settlement, paid)
        for hold_id, hold in holds.items():
            if hold.state != HELD:
                self.holds.pop(hold_id, None)

    def _holds_of(self, completion: RequestCompleted) -> Iterable[Placed]:
        ids = {*completion.data.hold_ids, *(attempt.hold_id for attempt in completion.data.attempts)}
        return [self.holds[each] for each in ids if each in self.holds]

    def _end(self, settlement: Settlement) -> Capture | None:
        paid = None
        for hold in settlement.releases:
            self._buckets(hold).release(hold.account, hold.amount_nano)
            self.spending.ended(self.holds[hold.id], 0)
        if settlement.capture:
            hold, nano = settlement.capture.hold, settlement.capture.nano
            paid = self._buckets(hold).capture(hold.account, hold.amount_nano, nano)
            self.spending.ended(self.holds[hold.id], nano)
        return paid

    def _add_lines(self, settlement: Settlement, paid: Capture | None) -> None:
        postings = Postings()
        post_fixed(postings, settlement)
        if paid is not None:
            post_overrun(postings, settlement, paid)
        request = settlement.event.request_id
        self._lines(postings, idem_key=f"settle:{request}", request=request)

    def _lines(self, postings: Postings, *, idem_key: str, request: UUID | None) -> None:
        for _, _, account, _, side, nano in postings.rows:
            name = account.name if isinstance(account, LedgerAccount) else self._name(account)
            self.output.lines.append(Line(None, idem_key, True, request, name, nano if side == CREDIT else -nano))

    def _compare(self, event: Captured) -> None:
        """Whether the ledger charged what the prices say."""
        request, told = event.request_id, event.data
        assert request is not None
        nano = self._settled.get(request)
        charged = told.captured_nano + told.overrun_nano
        if nano is None or nano != charged:
            self._remark("mispriced", f"request {request}: the ledger charged {charged}, its completion comes to {nano or 0}")

    def _expire(self, event: Expired) -> None:
        data = event.data
        placed = self.holds.get(data.hold_id)
        if placed is None or placed.hold.state != HELD:
            self._remark("unknown_hold", f"Expired {event.event_id}: hold {data.hold_id} is not open")
            return
        hold = placed.hold
        hold.state, hold.captured_nano = EXPIRED, data.charged_nano
        self._buckets(hold).capture(hold.account, hold.amount_nano, data.charged_nano)
        self.spending.ended(placed, data.charged_nano)
        if hold.account is not None:
            postings = Postings()
            postings.move(event.event_id, hold.account, accounts.revenue(hold.currency), hold.currency, data.charged_nano)
            self._lines(postings, idem_key=f"expire:{hold.id}", request=event.request_id)

    def _give(self, event: Event) -> None:
        for change in given(event):
            pot = self._pot(change.bucket, change.run, change.currency)
            state = pot.state
            if state.posted != change.before and pot.name not in self._diverged:
                self._diverged.add(pot.name)
                told = f"{event.type} {event.event_id} found {change.before} in {pot.name}"
                self._remark("diverged", f"{told}, the events before it come to {state.posted}")
            state.posted += change.after - change.before
            state.overrun += change.owed
            self.output.lines.append(Line(event.event_id, None, False, None, pot.name, change.after - change.before))

    def _pot(self, bucket: str, run: str, currency: str) -> Pot:
        return self.pots.get((bucket, run)) or self._open(bucket, run, currency)

    def _open(self, bucket: str, run: str, currency: str, *, unlimited: bool = False) -> Pot:
        number = len(self.pots) + 1
        own, reserve = accounts.customer_bucket, accounts.run_reserve
        account = reserve(self._holder, run, bucket, currency) if run else own(self._holder, bucket, currency)
        pot = self.pots[bucket, run] = Pot(number, account.name, currency, Buckets([(number, 0, 0, 0, unlimited)]))
        return pot

    def _pot_of(self, hold: HoldRow) -> Pot | None:
        return self.pots.get((hold.bucket, hold.reserve or ""))

    def _buckets(self, hold: HoldRow) -> Buckets:
        pot = self._pot_of(hold)
        return pot.buckets if pot is not None and hold.account is not None else Buckets(())

    def _name(self, number: int) -> str:
        return next(pot.name for pot in self.pots.values() if pot.number == number)

    def _remember(self, request: UUID, nano: int | None) -> None:
        self._settled[request] = nano
        while len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    def _remark(self, kind: str, what: str) -> None:
        self.output.remarks.append(Remark(kind, what))

    def drain(self) -> Output:
        """Everything to tell since the last call."""
        output, self.output = self.output, Output()
        return output


def refunded_holds(events: Iterable[Event]) -> list[UUID]:
    """The holds whose charges the events give back."""
    return [event.data.hold_id for event in events if isinstance(event, Refunded)]


def requests_of(events: Iterable[Event]) -> list[UUID]:
    """The requests whose completions the events need."""
    found: dict[Any, None] = {event.request_id: None for event in events if event.type in SETTLING}
    return [request for request in found if request is not None]
