"""Rows of a settlement transaction, column by column. Pure: what is decided becomes what is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from services.settlement import accounts
from services.settlement.accounts import CREDIT, DEBIT, LedgerAccount, Side
from services.settlement.arrays import Column, bigints, integers, packed, smallints, uuids, words
from services.settlement.balances import Capture
from services.settlement.settling import CaseDraft, Settlement

IdOf = Callable[[LedgerAccount], int]


@dataclass(slots=True)
class Txns:
    """Transactions to write."""

    rows: list[tuple[UUID, str, str, str | None, int | None, str, UUID | None, UUID | None, str]] = field(default_factory=list)

    def add(
        self,
        txn_id: UUID,
        kind: str,
        idem_key: str,
        *,
        holder: str,
        detail: dict[str, Any],
        request_hash: str | None = None,
        price_version: int | None = None,
        request_id: UUID | None = None,
        hold_id: UUID | None = None,
    ) -> None:
        """One transaction; its idem_key is unique for ever."""
        text = orjson.dumps(detail).decode()
        self.rows.append((txn_id, kind, idem_key, request_hash, price_version, holder, request_id, hold_id, text))

    def parameters(self) -> dict[str, Column]:
        """The arrays of `write_txns`."""
        ids, kinds, idem_keys, hashes, versions, holders, request_ids, hold_ids, details = columns(self.rows, 9)
        return {
            "ids": uuids(ids),
            "kinds": words(kinds),
            "idem_keys": words(idem_keys),
            "hashes": words(hashes),
            "price_versions": integers(versions),
            "holders": words(holders),
            "request_ids": uuids(request_ids),
            "hold_ids": uuids(hold_ids),
            "details": words(details),
        }


class Postings:
    """Postings to write. Each call adds balanced lines of one currency; accounts become ids when the rows are taken."""

    def __init__(self) -> None:
        self._lines: dict[UUID, int] = {}
        self.rows: list[tuple[UUID, int, LedgerAccount | int, str, Side, int]] = []

    def move(self, txn_id: UUID, debit: LedgerAccount | int, credit: LedgerAccount | int, currency: str, nano: int) -> None:
        """`nano` from one account to another; nothing for zero. A customer's bucket is given by its id."""
        if nano:
            self._add(txn_id, debit, currency, DEBIT, nano)
            self._add(txn_id, credit, currency, CREDIT, nano)

    def _add(self, txn_id: UUID, account: LedgerAccount | int, currency: str, side: Side, nano: int) -> None:
        line = self._lines.get(txn_id, 0) + 1
        self._lines[txn_id] = line
        self.rows.append((txn_id, line, account, currency, side, nano))

    @property
    def accounts(self) -> dict[str, LedgerAccount]:
        """The accounts by name whose ids will be needed."""
        return {row[2].name: row[2] for row in self.rows if not isinstance(row[2], int)}

    def drain(self, id_of: IdOf) -> dict[str, Column]:
        """The arrays of `write_postings` for what was added since the last drain."""
        txns, lines, found, currencies, sides, amounts = columns(self.rows, 6)
        account_ids = [account if isinstance(account, int) else id_of(account) for account in found]
        self.rows = []
        return {
            "txns": uuids(txns),
            "lines": smallints(lines),
            "accounts": bigints(account_ids),
            "currencies": words(currencies),
            "sides": words(sides),
            "amounts": bigints(amounts),
        }


@dataclass(slots=True)
class Windows:
    """What ends in each window: no longer held, spent, and spent beyond the hold."""

    moves: dict[int, list[int]] = field(default_factory=dict)

    def add(self, windows: Sequence[int], *, released: int, spent: int = 0, overrun: int = 0) -> None:
        """Count the end of one hold in the windows that it was stamped with."""
        for window in windows:
            move = self.moves.setdefault(window, [0, 0, 0])
            move[0] += released
            move[1] += spent
            move[2] += overrun

    def parameters(self) -> dict[str, Column]:
        """The arrays of `move_windows`."""
        released, spent, overruns = columns(list(self.moves.values()), 3)
        return {
            "ids": bigints(self.moves),
            "released": bigints(released),
            "spent": bigints(spent),
            "overruns": bigints(overruns),
        }


@dataclass(slots=True)
class Outbox:
    """Events to publish, in order."""

    rows: list[tuple[str, str, str, UUID, str]] = field(default_factory=list)

    def add(self, topic: str, key: str, event_type: str, ref: UUID, payload: str) -> None:
        """One event, keyed as on its topic."""
        self.rows.append((topic, key, event_type, ref, payload))

    def parameters(self) -> dict[str, Column | bytes]:
        """The arrays of `write_outbox`, and the payloads packed."""
        topics, keys, types, refs, payloads = columns(self.rows, 5)
        packed_payloads, starts, sizes = packed([payload.encode() for payload in payloads])
        return {
            "topics": words(topics),
            "keys": words(keys),
            "types": words(types),
            "refs": uuids(refs),
            "payloads": packed_payloads,
            "starts": starts,
            "sizes": sizes,
        }


def columns(rows: Sequence[Sequence[Any]], count: int) -> Sequence[Sequence[Any]]:
    """Rows turned into columns; `count` empty ones where there are no rows."""
    return list(zip(*rows, strict=True)) if rows else [()] * count


def case_parameters(cases: Sequence[CaseDraft]) -> dict[str, Column]:
    """The arrays of `open_cases`."""
    return {
        "ids": uuids(case.id for case in cases),
        "kinds": words(case.kind for case in cases),
        "holders": words(case.holder for case in cases),
        "request_ids": uuids(case.request_id for case in cases),
        "hold_ids": uuids(case.hold_id for case in cases),
        "currencies": words(case.currency for case in cases),
        "exposures": bigints(case.exposure_nano for case in cases),
        "details": words(case.detail for case in cases),
    }


def post_fixed(postings: Postings, settlement: Settlement) -> None:
    """The lines that need no balance: a capture within its hold, operator costs, late usage."""
    capture = settlement.capture
    if capture and capture.nano <= capture.hold.amount_nano and capture.hold.account is not None:
        currency = capture.hold.currency
        postings.move(settlement.txn_id, capture.hold.account, accounts.revenue(currency), currency, capture.nano)
    if settlement.late:
        currency = settlement.late.hold.currency
        postings.move(
            settlement.txn_id, accounts.write_off(currency), accounts.revenue(currency), currency, settlement.late_nano
        )
    for cost in settlement.costs:
        postings.move(
            settlement.txn_id,
            accounts.provider_cost(cost.channel, cost.currency),
            accounts.provider_payable(cost.channel, cost.currency),
            cost.currency,
            cost.nano,
        )


def post_overrun(postings: Postings, settlement: Settlement, paid: Capture) -> None:
    """The lines of a capture above its hold: what the bucket could pay, and what is owed."""
    capture = settlement.capture
    if capture is None or (capture.nano <= capture.hold.amount_nano and capture.hold.account is not None):
        return
    currency = capture.hold.currency
    if capture.hold.account is not None:
        postings.move(settlement.txn_id, capture.hold.account, accounts.revenue(currency), currency, paid.paid)
    postings.move(settlement.txn_id, accounts.overrun_receivable(currency), accounts.revenue(currency), currency, paid.owed)
