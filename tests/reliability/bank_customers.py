"""Those who work on one wallet at once: clients who ask for holds; worker, sweeper, payer and operator beside them."""

import asyncio
import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from schemas.calls import HoldProgress, HoldRequest, ProgressBatch
from schemas.envelope import now
from schemas.money import Usage, format_amount
from schemas.requests import KeyRef
from services.settlement import expiry_store, limit_store, topup_store
from services.settlement.balance_store import balances
from services.settlement.errors import RacedError
from services.settlement.hold_progress import renew
from services.settlement.hold_store import HoldLane
from services.settlement.money_in import LimitChange, TopUp
from services.settlement.records import Record
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for
from tests.oracle import Oracle, Tokens

HOLDER = "bank"
KEYS = [KeyRef(project_id=f"project-{number % 2}", key_id=f"key-{number}") for number in range(4)]
MODEL = "gpt-4o"
AT_ONCE = 200
OPEN_AT_MOST = 2_000
"""Clients wait while so many of their holds are open: more would only be refused."""
RACES = 20
FIXED = [("project", "project-0", "total"), ("key", "key-0", "month"), ("key", "key-0", "total")]
"""Limits that never change, so that every snapshot can be held against them."""
CHANGING = [
    *[("account", HOLDER, window) for window in ("total", "day", "month")],
    *[("project", "project-1", window) for window in ("day", "month")],
    *[("key", f"key-{number}", window) for number in range(1, 4) for window in ("total", "day")],
    ("key", "key-0", "day"),
]
MOST_SLACK_NANO = {"account": 2_000_000_000, "project": 1_000_000_000, "key": 300_000_000}
SHORT_NANO = 30_000_000
"""Nobody pays while more than this is free: the wallet itself is short of money, too."""
# What becomes of a granted hold, in percent: most are charged, one in a hundred above its hold, one in twenty by two at once.
FATES = {"charged": 60, "above": 1, "released": 20, "forgotten": 14, "raced": 5}


class Bank:
    """The wallet, what was asked of it, and the requests that wait for their end."""

    def __init__(self, ledger: Ledger, attempts: int) -> None:
        self.ledger = ledger
        self.left = attempts
        self.done = Counter[str]()
        self.revenue_nano = 0
        self.paid_in_nano = 0
        self.ending: deque[tuple[HoldRequest, str]] = deque()
        self.overdue: deque[HoldRequest] = deque()
        self.clients_done = threading.Event()
        self._oracle = Oracle()

    def charge_nano(self, prompt: int, output: int) -> int:
        """What so many tokens cost, by an arithmetic that is not the ledger's."""
        return int(self._oracle.charge("direct", MODEL, Tokens(prompt=prompt, output=output)).amount * 10**9)

    def lane(self) -> HoldLane:
        """One client's connection to the hold function, as the API has them."""
        ledger = self.ledger
        return HoldLane(
            ledger.url,
            books=ledger.books,
            stop=ledger.frozen.stop,
            default_output=4096,
            floor_output=256,
            timeout_ms=TIMEOUT_MS,
        )

    async def client(self, seed: int) -> None:
        """Ask for holds, one or many per call, some of them twice, until the attempts are used up."""
        dice, lane = random.Random(seed), self.lane()
        while self.left > 0:
            if len(self.ending) + len(self.overdue) > OPEN_AT_MOST:
                await asyncio.sleep(0.005)
                continue
            size = min(dice.choice([1, 1, 1, 1, 2, 3, 8, 32]), self.left)
            self.left -= size
            fates = dice.choices(list(FATES), list(FATES.values()), k=size)
            requests = [asked(dice, fate) for fate in fates]
            answers = await lane.place(requests)
            if dice.random() < 0.01:
                assert await lane.place(requests) == answers, "a hold that is asked for again has the same answer"
                self.done["asked again"] += size
            for request, fate, answer in zip(requests, fates, answers, strict=True):
                self._granted(request, fate) if answer["status"] == "held" else self._refused()
            self.done["calls"] += 1
        await lane.close()

    def _refused(self) -> None:
        self.done["refused"] += 1

    def _granted(self, request: HoldRequest, fate: str) -> None:
        self.done["held"] += 1
        if fate in {"forgotten", "raced"}:
            self.overdue.append(request)
        if fate != "forgotten":
            self.ending.append((request, fate))

    def settle(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> bool:
        """The worker's part: as many ends as there are, in one batch. Races are run again as in the worker's loop."""
        some = [self.ending.popleft() for _ in range(min(len(self.ending), AT_ONCE))]
        if not some:
            return False
        records = [self._end(request, fate, dice) for request, fate in some]
        for _ in range(RACES):
            worker = self.ledger.new_worker(connection)
            try:
                worker.settle(records)
                break
            except (RacedError, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                self.done["batches run again"] += 1
        else:
            raise RacedError(f"a batch of {len(records)} lost {RACES} races")
        self.done["ends settled"] += len(records)
        return True

    def _end(self, request: HoldRequest, fate: str, dice: random.Random) -> Record:
        if fate == "released":
            return self.ledger.record(completion(request, charged=None, attempts=[attempt_on(request, usage=Usage())]))
        output = request.max_output_tokens or 1
        usage = Usage(input_tokens=dice.randint(0, request.input_tokens_bound), output_tokens=dice.randint(0, output))
        if fate == "above":
            usage = Usage(input_tokens=request.input_tokens_bound, output_tokens=3 * output)
        self.revenue_nano += self.charge_nano(usage.input_tokens, usage.output_tokens)
        return self.ledger.record(completion(request, attempts=[attempt_on(request, usage=usage)]))

    def expire(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> bool:
        """The sweeper's part; for some of the holds the stream had said before how far it was."""
        some = [self.overdue.popleft() for _ in range(min(len(self.overdue), AT_ONCE))]
        if not some:
            return False
        signs = [
            HoldProgress(hold_id=each.hold_id, deadline_at=each.deadline_at, input_tokens=1, output_tokens=dice.randint(0, 5))
            for each in some
            if dice.random() < 0.2
        ]
        if signs:
            renew(connection, ProgressBatch(holds=signs))
        found = expiry_store.expire_holds(
            connection,
            [each.hold_id for each in some],
            grace_s=0,
            book_of=self.ledger.books.version,
            case_owner="bank",
            case_max_age_days=1,
        )
        self.done["expired"] += len(found)
        return True

    def pay(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> bool:
        """A payment when the wallet is short of money, one in ten twice under its id."""
        wallet = balances(connection, HOLDER)
        if wallet and wallet[0]["available_nano"] > SHORT_NANO:
            return False
        amount = f"0.{dice.randint(50, 500):03}"
        asked_for = TopUp(account_id=HOLDER, bucket="credit", amount=amount, provider="bank", payment_id=uuid4().hex)
        for _ in range(2 if dice.random() < 0.1 else 1):
            topup_store.top_up(connection, asked_for, self.ledger.books.in_force)
        self.paid_in_nano += asked_for.amount_nano
        self.done["payments"] += 1
        return False

    def limit(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> bool:
        """The operator's part: limits come and go, rise, and fall below what is spent. Those of FIXED stay as they are."""
        kind, entity, window = dice.choice(CHANGING)
        used = sum(
            row["held_nano"] + row["spent_nano"]
            for row in limit_store.limits(connection, HOLDER)
            if (row["kind"], row["id"], row["window"]) == (kind, entity, window)
        )
        amount = None if dice.random() < 0.1 else format_amount(max(used + dice.randint(-50_000_000, MOST_SLACK_NANO[kind]), 0))
        change = {"account_id": HOLDER, "kind": kind, "id": entity, "currency": "USD", "window": window, "limit": amount}
        limit_store.set_limit(connection, LimitChange.model_validate(change), author="bank")
        self.done["limit changes"] += 1
        return False


Part = Callable[[psycopg.Connection[TupleRow], random.Random], bool]
"""Does one piece of work; False when there was nothing more to do at the moment."""


def asked(dice: random.Random, fate: str) -> HoldRequest:
    """A hold on one of the keys; those that will be forgotten are overdue at once."""
    overdue = fate in {"forgotten", "raced"}
    return hold_for(
        HOLDER,
        key=dice.choice(KEYS),
        candidates=[candidate(model=MODEL)],
        input_tokens_bound=dice.randint(1, 500),
        max_output_tokens=dice.randint(1, 100) if dice.random() < 0.9 else None,
        deadline_at=now() + timedelta(seconds=-1 if overdue else 3600),
    )
