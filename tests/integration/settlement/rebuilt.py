"""A ledger's books built again from its own outbox and the completions that it was given, in memory: I14 without Kafka."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.corrections import Refunded
from schemas.envelope import Event
from schemas.ledger import HoldPlaced
from schemas.registry import decode
from services.settlement.audit.facts import hold_ended_by
from services.settlement.audit.fold import AccountFold, Around
from services.settlement.audit.spending import Envelope
from tests.integration.settlement.ledger import Ledger


def differences(ledger: Ledger, completions: Sequence[RequestCompleted]) -> list[str]:
    """A sentence for everything that the events do not come to. `completions` in the order in which the ledger read them."""
    first: dict[UUID, RequestCompleted] = {}
    for completion in completions:
        assert completion.request_id is not None
        first.setdefault(completion.request_id, completion)
    stories: dict[str, list[Event]] = defaultdict(list)
    for topic, kind, payload in ledger.outbox():
        if topic == topics.LEDGER:
            event = decode(topics.LEDGER, kind, payload.encode())
            stories[event.account_id].append(event)
    found: list[str] = []
    for account, story in stories.items():
        found += _account(ledger, account, story, first)
    return found


def _account(ledger: Ledger, account: str, story: Sequence[Event], first: dict[UUID, RequestCompleted]) -> list[str]:
    placed = {event.data.hold_id: (at, event) for at, event in enumerate(story) if isinstance(event, HoldPlaced)}
    fold = AccountFold(
        account,
        envelopes=[Envelope(*_values(row)) for row in ledger.rows(ENVELOPES, account)],
        cost_centres=[(row["bucket"], row["currency"]) for row in ledger.rows(COST_CENTRES, account)],
        closings={row["id"]: row["closing_at"] for row in ledger.rows(CLOSINGS, account)},
        book_of=ledger.books.version,
    )
    ended: dict[UUID, int] = {}
    for position, event in enumerate(story):
        if (hold := hold_ended_by(event)) is not None:
            ended[hold] = position
        refunded = {event.data.hold_id: placed[event.data.hold_id]} if isinstance(event, Refunded) else {}
        fold.apply(event, Around(first, refunded, ended), position)
    fold.finish([first[request] for request in fold.waiting() if request in first])
    output = fold.drain()
    told = [f"{remark.kind}: {remark.what}" for remark in output.remarks]
    return [*told, *_buckets(ledger, account, fold), *_windows(ledger, account, fold), *_lines(ledger, fold, output.lines)]


def _buckets(ledger: Ledger, account: str, fold: AccountFold) -> list[str]:
    rebuilt = {
        key: (pot.state.posted, pot.state.held, pot.state.overrun)
        for key, pot in fold.pots.items()
    }  # fmt: skip
    kept = {(row["bucket"], row["run"]): (row["posted"], row["held"], row["overrun"]) for row in ledger.rows(BUCKETS, account)}
    nothing = (0, 0, 0)
    return [
        f"{account} {key}: rebuilt {rebuilt.get(key, nothing)}, ledger {kept.get(key, nothing)}"
        for key in sorted(rebuilt.keys() | kept.keys())
        if rebuilt.get(key, nothing) != kept.get(key, nothing)
    ]


def _windows(ledger: Ledger, account: str, fold: AccountFold) -> list[str]:
    wrong = []
    for row in ledger.rows(WINDOWS, account):
        envelope = Envelope(row["kind"], row["entity"], row["currency"], row["window_kind"])
        spent = fold.spending.windows[envelope, row["start_utc"]]
        rebuilt, kept = (spent.held, spent.spent, spent.overrun), (row["held"], row["spent"], row["overrun"])
        if rebuilt != kept:
            wrong.append(f"{account} {envelope}: rebuilt {rebuilt}, ledger {kept}")
    return wrong


def _lines(ledger: Ledger, fold: AccountFold, lines: Sequence[object]) -> list[str]:
    told: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        key = getattr(line, "idem_key", None)
        if key is not None:
            told[key, getattr(line, "account", "")] += getattr(line, "credit", 0)
    posted: dict[tuple[str, str], int] = defaultdict(int)
    for row in ledger.rows(POSTED, [key for key, _ in told]):
        posted[row["idem_key"], row["name"]] += row["credit"]
    return [
        f"{key}: rebuilt {told[key]}, posted {posted[key]}" for key in told.keys() | posted.keys() if told[key] != posted[key]
    ]


def _values(row: dict[str, object]) -> list[str]:
    return [str(value) for value in row.values()]


ENVELOPES = "select kind, entity, currency, window_kind from envelope where holder = %s"
COST_CENTRES = "select bucket, currency from bucket_balance where holder = %s and run = '' and funding = 'limit'"
CLOSINGS = "select id, closing_at from run where holder = %s and closing_at is not null"
BUCKETS = "select bucket, run, posted, held, overrun from bucket_balance where holder = %s"
WINDOWS = """select e.kind, e.entity, e.currency, e.window_kind, w.start_utc, w.held, w.spent, w.overrun
from envelope_window w join envelope e on e.id = w.envelope where e.holder = %s"""
POSTED = """select t.idem_key, k.name, case p.side when 'credit' then p.amount else -p.amount end as credit
from txn t join posting p on p.txn = t.id join account k on k.id = p.account where t.idem_key = any(%s)"""
