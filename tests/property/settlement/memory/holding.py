"""The hold function's rule in Python: settlement's own bounds and orders; a property test holds the SQL to the same amounts."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.settlement.bounds import amount_nano, output_cap
from services.settlement.holds import HoldOrder, granted, refused
from services.settlement.money_in import period_start
from tests.property.settlement.memory.rows import BucketRow, EnvelopeKey, EnvelopeRow, StoredHold, WindowRow
from tests.property.settlement.memory.tables import Tables

DEFAULT_OUTPUT, FLOOR_OUTPUT = 4096, 256
BOUNDLESS = 9_000_000_000_000_000_000
NAMED_BY_CODE = {"account_frozen": "account", "project_frozen": "project", "key_frozen": "key"}
Found = tuple[EnvelopeKey, EnvelopeRow, WindowRow]


def place(tables: Tables, now: datetime, orders: Sequence[HoldOrder]) -> list[dict[str, Any]]:
    """Decide and record many holds at once, each after the one before it."""
    return [_Decision(tables, now, order).record() for order in orders]


def windows_around(tables: Tables, now: datetime, order: HoldOrder) -> Iterator[Found]:
    """The windows that the hold passes, the wider envelope first; opened where the period is new."""
    for key in _chain(order):
        for window in ("total", "run", "day", "month"):
            envelope = tables.envelopes.get((*key, window))
            if envelope is not None:
                yield (*key, window), envelope, tables.window(envelope, period_start(window, now))


def _chain(order: HoldOrder) -> list[tuple[str, str, str, str]]:
    request, currency = order.request, order.currency
    holder, key = request.account_id, request.key
    found = [(holder, "account", holder, currency), (holder, "bucket", order.bucket, currency)]
    found += [(holder, "project", key.project_id, currency), (holder, "key", key.key_id, currency)]
    if request.run_id is not None:
        found.append((holder, "run", f"{request.run_id}/{order.bucket}", currency))
    return found


class _Decision:
    """One hold, from its order to its row and its answer."""

    def __init__(self, tables: Tables, now: datetime, order: HoldOrder) -> None:
        self._tables, self._now, self._order = tables, now, order
        self._windows: list[Found] = []
        self._bucket: BucketRow | None = None
        self._amount = self._cap = 0
        self._refusal = self._early() if order.code is not None else self._decide()

    def record(self) -> dict[str, Any]:
        order, request, tables = self._order, self._order.request, self._tables
        held = self._refusal is None
        tables.holds[request.hold_id] = StoredHold(
            id=request.hold_id,
            request_id=request.request_id,
            holder=request.account_id,
            project_id=request.key.project_id,
            key_id=request.key.key_id,
            bucket=order.bucket,
            currency=order.currency,
            account=self._bucket.account if self._bucket else None,
            state="HELD" if held else "REFUSED",
            amount_nano=self._amount if held else 0,
            captured_nano=0,
            price_version=len(tables.books),
            windows=[window.id for _, _, window in self._windows] if held else [],
            run=request.run_id or "",
            reserved=bool(order.reserve),
            output_cap=self._cap if held else 0,
            placed_at=self._now,
            expires_at=max(request.deadline_at, self._now),
            detail=orjson.loads(order.detail),
            refusal=self._refusal,
        )
        tables.outbox.append(("ledger", "HoldPlaced" if held else "HoldRefused"))
        if self._refusal is not None:
            return refused(order, {**self._refusal, "resets_at": _text(self._refusal["resets_at"])})
        if self._bucket:
            self._bucket.held += self._amount
        for _, envelope, window in self._windows:
            window.held += self._amount
            window.limit_at_last_hold = envelope.limit_nano
        row = {"bucket": order.bucket, "currency": order.currency, "amount_nano": self._amount}
        return granted(request, order.prices, {**row, "price_version": len(tables.books), "output_cap": self._cap})

    def _early(self) -> dict[str, Any]:
        """Refused before the balances are looked at."""
        order, code = self._order, str(self._order.code)
        kind = "run" if code.startswith("run_") else NAMED_BY_CODE.get(code)
        entity = next((entity for _, each, entity, _ in _chain(order) if each == kind), None)
        return _refusal(code, kind, entity, needed=order.needed_nano)

    def _decide(self) -> dict[str, Any] | None:
        order, request, tables = self._order, self._order.request, self._tables
        self._bucket = bucket = tables.bucket(request.account_id, order.bucket, order.reserve)
        self._windows = list(windows_around(tables, self._now, order))
        by_limit = bucket is not None and bucket.funding == "limit"
        free = 0 if bucket is None else BOUNDLESS if by_limit else bucket.posted - bucket.held
        held = 0 if bucket is None or by_limit else bucket.held
        lefts = [
            (key, envelope.limit_nano - window.held - window.spent, window.held)
            for key, envelope, window in self._windows
            if envelope.limit_nano is not None
        ]
        unfunded = by_limit and not any(key[1] == "bucket" for key, _, _ in lefts)
        self._choose_amount(0 if unfunded else min([free, *(left for _, left, _ in lefts)]))
        run = tables.runs.get(order.run.id) if order.run else None
        entity = f"{request.run_id}/{order.bucket}"
        owed = bucket.overrun if bucket else 0
        fits = self._amount <= free + held and all(self._amount <= left + occupied for _, left, occupied in lefts)
        told: dict[str, Any] = {"needed": self._amount, "held": held, "passing": fits and not owed}
        if run is not None and (run.state != "OPEN" or run.deadline_at <= self._now):
            return _refusal("run_closed", "run", entity)
        if order.reserve and (owed or self._amount > free):
            return _refusal("budget_exceeded", "run", entity, "run", left=free - owed, **told)
        if unfunded:
            return _refusal("budget_exceeded", "bucket", order.bucket, "total", needed=self._amount, left=0)
        if owed or self._amount > free:
            return _refusal("insufficient_balance", left=-owed if owed else free, **told)
        return self._over(lefts, passing=fits)

    def _choose_amount(self, free: int) -> None:
        request, prices = self._order.request, self._order.unit_prices
        if request.max_output_tokens is not None:
            self._cap = min(request.max_output_tokens, request.model_max_output_tokens)
        else:
            self._cap = output_cap(
                prices,
                input_tokens=request.input_tokens_bound,
                choices=request.choices,
                free_nano=free,
                model_max=request.model_max_output_tokens,
                default=DEFAULT_OUTPUT,
                floor=FLOOR_OUTPUT,
            )
        self._amount = amount_nano(prices, request.input_tokens_bound, self._cap * request.choices)

    def _over(self, lefts: list[tuple[EnvelopeKey, int, int]], *, passing: bool) -> dict[str, Any] | None:
        """The limit that takes longest to lift, of those that do not leave enough; last those that holds alone fill."""
        short = [
            (left + held >= self._amount, {"month": 1, "day": 2}.get(key[4], 0), place, key, left, held)
            for place, (key, left, held) in enumerate(lefts)
            if left < self._amount
        ]
        if not short:
            return None
        _, _, _, (_, kind, entity, _, window), left, held = min(short)
        told: dict[str, Any] = {"needed": self._amount, "left": left, "held": held, "passing": passing}
        return _refusal("budget_exceeded", kind, entity, window, resets=_end_of(window, self._now), **told)


def _refusal(
    code: str,
    kind: str | None = None,
    entity: str | None = None,
    window: str | None = None,
    *,
    needed: int | None = None,
    left: int | None = None,
    resets: datetime | None = None,
    held: int | None = None,
    passing: bool = False,
) -> dict[str, Any]:
    return {
        "code": code,
        "kind": kind,
        "entity": entity,
        "window": window,
        "needed_nano": needed,
        "left_nano": left,
        "resets_at": resets,
        "held_nano": held,
        "passing": passing,
    }


def _end_of(window: str, now: datetime) -> datetime | None:
    start = period_start(window, now)
    if window == "day":
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1) if window == "month" else None


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
