"""What is sealed: the entries of the ledger's tree, to the byte. Pure; sealer, auditor and verifier share it.

An entry is a transaction with everything that was committed with it (postings and the names of their accounts, balance moves,
the holds that it ended, the receipt's row), an account, or a price book. Its bytes are one frame (`schemas.framing`) of: its
format, its number, the hash of the entry before it, and its fields in the order of the tuples below; of a list, how many
rows it has and then their fields. Times are microseconds since 1970 in UTC; JSON and other long texts count by their SHA-256.

What the operator owes its providers is no business of a customer who holds a receipt: postings to such accounts are in the
entry as one salted digest. Whoever has the salt can check them, and nobody can guess them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from schemas.framing import Value, frame
from schemas.merkle import leaf_hash

TXN_FORMAT: Final = "tollbook/txn/1"
ACCOUNT_FORMAT: Final = "tollbook/account/1"
PRICE_BOOK_FORMAT: Final = "tollbook/price-book/1"
HIDDEN_FORMAT: Final = "tollbook/hidden/1"
ORIGIN = bytes(32)
"""What stands for the hash of the entry before the first."""
SALT_BYTES = 16

TXN = (
    "id", "kind", "idem_key", "request_hash", "price_version", "holder", "request_id", "hold_id", "detail_sha256",
    "committed_at_us",
)  # fmt: skip
POSTING = ("line", "account", "account_name", "currency", "side", "amount_nano")
MOVE = ("account", "seq", "before_nano", "after_nano", "held_after_nano")
HOLD = (
    "id", "request_id", "holder", "project_id", "key_id", "bucket", "currency", "account", "account_name", "state",
    "amount_nano", "captured_nano", "released_nano", "price_version", "output_cap", "input_tokens_bound", "progress_input",
    "progress_output", "windows", "run", "reserved", "placed_at_us", "deadline_at_us", "expires_at_us", "ended_at_us",
    "detail_sha256",
)  # fmt: skip
RECEIPT = (
    "request_id", "holder", "status", "charged_hold", "charge_nano", "overrun_nano", "written_off_nano", "completed_sha256",
    "settled_at_us",
)  # fmt: skip
ACCOUNT = ("id", "name", "kind", "currency", "normal_side", "holder", "bucket")
PRICE_BOOK = ("version", "sha256", "document_sha256", "published_at_us", "effective_from_us", "author")
"""A book of before its author was recorded ends after `published_at_us`."""

OPERATORS_OWN = ("provider_cost/", "provider_payable/")
"""Beginnings of the names of accounts whose postings a receipt does not show."""

Row = Sequence[Value]


class EntryError(ValueError):
    """The fields are not those of an entry."""


@dataclass(frozen=True, slots=True)
class TxnFacts:
    """A committed transaction: each row a sequence of values in the order of the tuples above.

    `own` are the postings that a receipt does not show: `split` tells them apart.
    """

    txn: Row
    postings: Sequence[Row]
    own: Sequence[Row]
    moves: Sequence[Row]
    holds: Sequence[Row]
    receipt: Row | None

    def hidden(self, salt: bytes | None) -> str | None:
        """The digest of the operator's own postings; None where there are none."""
        if not self.own:
            return None
        return sha256(frame([HIDDEN_FORMAT, (salt or b"").hex(), *_listed(self.own)])).hexdigest()


def split(postings: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """A transaction's postings: those that a receipt shows, and the operator's own."""
    shown: list[Row] = []
    own: list[Row] = []
    for row in postings:
        (own if str(row[2]).startswith(OPERATORS_OWN) else shown).append(row)
    return shown, own


def txn_entry(facts: TxnFacts, *, seq: int, prev: bytes, salt: bytes | None) -> bytes:
    """The bytes of a transaction's entry. The salt counts only where postings are hidden."""
    return _txn_bytes(seq, prev.hex(), facts.txn, facts.postings, facts.moves, facts.holds, facts.receipt, facts.hidden(salt))


def account_entry(account: Row, *, seq: int, prev: bytes) -> bytes:
    """The bytes of an account's entry."""
    return frame([ACCOUNT_FORMAT, seq, prev.hex(), *account])


def price_book_entry(book: Row, *, seq: int, prev: bytes) -> bytes:
    """The bytes of a price book's entry."""
    return frame([PRICE_BOOK_FORMAT, seq, prev.hex(), *book])


def disclosed(facts: TxnFacts, *, seq: int, prev: bytes, salt: bytes | None) -> dict[str, Any]:
    """A transaction's entry as a receipt shows it: names to the values, and the digest of what is hidden."""
    return {
        "format": TXN_FORMAT,
        "seq": seq,
        "prev": prev.hex(),
        "txn": dict(zip(TXN, facts.txn, strict=True)),
        "postings": [dict(zip(POSTING, row, strict=True)) for row in facts.postings],
        "moves": [dict(zip(MOVE, row, strict=True)) for row in facts.moves],
        "holds": [dict(zip(HOLD, row, strict=True)) for row in facts.holds],
        "receipt": None if facts.receipt is None else dict(zip(RECEIPT, facts.receipt, strict=True)),
        "hidden_postings_sha256": facts.hidden(salt),
    }


def disclosed_hash(entry: Mapping[str, Any]) -> bytes:
    """The leaf's hash of an entry as a receipt shows it. Raises EntryError where a field is missing, odd or too much."""
    expected = {"format", "seq", "prev", "txn", "postings", "moves", "holds", "receipt", "hidden_postings_sha256"}
    if not isinstance(entry, dict) or entry.keys() != expected or entry["format"] != TXN_FORMAT:
        raise EntryError(f"an entry has the fields {', '.join(sorted(expected))} and the format {TXN_FORMAT}")
    receipt = entry["receipt"]
    data = _txn_bytes(
        _value(entry["seq"]),
        _value(entry["prev"]),
        _row(entry["txn"], TXN),
        _rows(entry["postings"], POSTING),
        _rows(entry["moves"], MOVE),
        _rows(entry["holds"], HOLD),
        None if receipt is None else _row(receipt, RECEIPT),
        _value(entry["hidden_postings_sha256"]),
    )
    return leaf_hash(data)


def _txn_bytes(  # noqa: PLR0917 - the parts of an entry in their order
    seq: Value,
    prev: Value,
    txn: Row,
    postings: Sequence[Row],
    moves: Sequence[Row],
    holds: Sequence[Row],
    receipt: Row | None,
    hidden: Value,
) -> bytes:
    receipts = [] if receipt is None else [receipt]
    return frame(
        [TXN_FORMAT, seq, prev, *txn, *_listed(postings), *_listed(moves), *_listed(holds), *_listed(receipts), hidden]
    )


def _listed(rows: Sequence[Row]) -> list[Value]:
    values: list[Value] = [len(rows)]
    for row in rows:
        values += row
    return values


def _rows(given: Any, names: tuple[str, ...]) -> list[Row]:
    if not isinstance(given, list):
        raise EntryError("a list of rows is missing")
    return [_row(each, names) for each in given]


def _row(given: Any, names: tuple[str, ...]) -> Row:
    if not isinstance(given, dict) or given.keys() != set(names):
        raise EntryError(f"a row has the fields {', '.join(names)}")
    return [_value(given[name]) for name in names]


def _value(given: Any) -> Value:
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise EntryError("a field of an entry is a text, an integer or null")
    return given
