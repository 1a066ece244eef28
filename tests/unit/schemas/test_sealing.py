"""The bytes of an entry: every field counts, and a receipt's form gives the same bytes."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import sealing
from schemas.framing import frame
from schemas.merkle import leaf_hash
from schemas.sealing import EntryError, TxnFacts, account_entry, disclosed, disclosed_hash, price_book_entry, split, txn_entry

values = st.none() | st.integers() | st.text()
FACTS = TxnFacts(
    txn=["t1", "capture", "settle:r1", "0a", 3, "acme", "r1", "h1", "0b", 1_700_000_000_000_000],
    postings=[
        [1, 7, "customer/acme/credit/USD", "USD", "debit", 1375],
        [2, 8, "revenue/USD", "USD", "credit", 1375],
    ],
    own=[
        [3, 9, "provider_cost/x/USD", "USD", "debit", 900],
        [4, 10, "provider_payable/x/USD", "USD", "credit", 900],
    ],
    moves=[[7, 4, 10_000, 8_625, 0]],
    holds=[[*(f"hold-{name}" for name in sealing.HOLD)]],
    receipt=["r1", "acme", "settled", "h1", 1375, 0, 0, "0c", 1_700_000_000_000_001],
)
PLACE: dict[str, Any] = {"seq": 5, "prev": bytes(range(32)), "salt": b"salt" * 4}


def test_a_frame_is_lengths_and_texts() -> None:
    assert frame(["ab", 7, None, "", "\u00e9"]) == b"2:ab,1:7,~0:,2:\xc3\xa9,"


@given(st.lists(values), st.lists(values))
def test_no_two_sequences_of_texts_have_one_frame(one: list[Any], other: list[Any]) -> None:
    def texts(given: list[Any]) -> list[str | None]:
        return [None if value is None else str(value) for value in given]

    assert (frame(one) == frame(other)) == (texts(one) == texts(other))


def test_an_entry_is_the_frame_of_its_parts() -> None:
    entry = txn_entry(FACTS, **PLACE)
    hidden = sha256(frame(["tollbook/hidden/1", PLACE["salt"].hex(), 2, *FACTS.own[0], *FACTS.own[1]])).hexdigest()
    expected = [
        "tollbook/txn/1", 5, bytes(range(32)).hex(), *FACTS.txn, 2, *FACTS.postings[0], *FACTS.postings[1],
        1, *FACTS.moves[0], 1, *FACTS.holds[0], 1, *(FACTS.receipt or ()), hidden,
    ]  # fmt: skip
    assert entry == frame(expected)


def test_what_a_receipt_shows_has_the_entrys_hash_and_not_the_operators_costs() -> None:
    shown = json.loads(json.dumps(disclosed(FACTS, **PLACE)))
    assert disclosed_hash(shown) == leaf_hash(txn_entry(FACTS, **PLACE))
    assert "provider" not in json.dumps(shown)
    assert "900" not in json.dumps(shown)


def test_without_costs_there_is_nothing_hidden_and_the_salt_does_not_count() -> None:
    bare = replace(FACTS, own=[])
    assert disclosed(bare, **PLACE)["hidden_postings_sha256"] is None
    assert txn_entry(bare, **PLACE) == txn_entry(bare, **PLACE | {"salt": None})


def test_postings_of_the_operators_costs_are_its_own_and_no_others() -> None:
    assert split([*FACTS.own, *FACTS.postings]) == (FACTS.postings, FACTS.own)


def test_every_field_counts() -> None:
    whole = txn_entry(FACTS, **PLACE)
    changed = [
        *(replace(FACTS, txn=_bent(FACTS.txn, place)) for place in range(len(FACTS.txn))),
        *(replace(FACTS, receipt=_bent(FACTS.receipt or (), place)) for place in range(len(FACTS.receipt or ()))),
        *(_bent_row(part, row, place) for part in ("postings", "own") for row in range(2) for place in range(6)),
        *(_bent_row("moves", 0, place) for place in range(5)),
        *(_bent_row("holds", 0, place) for place in range(len(sealing.HOLD))),
        replace(FACTS, receipt=None),
        replace(FACTS, moves=[]),
        replace(FACTS, holds=[]),
        replace(FACTS, postings=FACTS.postings[::-1]),
        replace(FACTS, postings=[*FACTS.postings, FACTS.postings[1]]),
        replace(FACTS, own=FACTS.own[::-1]),
        replace(FACTS, postings=[*FACTS.postings, *FACTS.own], own=[]),
    ]
    entries = [txn_entry(facts, **PLACE) for facts in changed]
    entries += [txn_entry(FACTS, **PLACE | other) for other in ({"seq": 6}, {"prev": bytes(32)}, {"salt": b"other"})]
    assert whole not in entries
    assert len(set(entries)) == len(entries)


def test_entries_of_different_kinds_are_never_the_same() -> None:
    place: dict[str, Any] = {"seq": 0, "prev": sealing.ORIGIN}
    row = ["1", "a", "b", "c"]
    assert account_entry(row, **place) != price_book_entry(row, **place)


@pytest.mark.parametrize(
    "bent",
    [
        {"extra": 1},
        {"format": "tollbook/txn/2"},
        {"postings": None},
        {"txn": {}},
        {"receipt": {"request_id": "r1"}},
        {"seq": 1.0},
        {"seq": True},
        {"moves": [{"account": [1]}]},
    ],
)
def test_what_is_not_shaped_like_an_entry_is_refused(bent: dict[str, Any]) -> None:
    with pytest.raises(EntryError):
        disclosed_hash(disclosed(FACTS, **PLACE) | bent)


def _bent(row: Any, place: int) -> list[Any]:
    return [*row[:place], "something else", *row[place + 1 :]]


def _bent_row(part: str, row: int, place: int) -> TxnFacts:
    rows = [*getattr(FACTS, part)]
    rows[row] = _bent(rows[row], place)
    return replace(FACTS, **{part: rows})
