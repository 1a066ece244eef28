"""The lines of a transaction, and the arrays in which they are handed to Postgres."""

from uuid import UUID

from services.settlement import accounts
from services.settlement.balances import Capture
from services.settlement.entries import (
    Outbox,
    Postings,
    Txns,
    Windows,
    case_parameters,
    columns,
    post_fixed,
    post_overrun,
)
from services.settlement.settling import CaseDraft, Charge, OperatorCost, Settlement
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for
from tests.unit.settlement.columns import column, columns_of
from tests.unit.settlement.test_settling import row_of

ONE, TWO = UUID(int=1), UUID(int=2)
REVENUE = accounts.revenue("USD")
Line = tuple[int, object, str, str, int]


def settlement(*, charge: int, hold: int = 100, account: int | None = 7, late: int | None = None) -> Settlement:
    """A capture of `charge` on a hold, or late usage of which `late` is beyond what the hold was charged."""
    request = hold_for("a")
    row = row_of(request)
    row.amount_nano, row.account = hold, account
    made = Charge(hold=row, attempt=attempt_on(request), nano=charge)
    event = completion(request)
    if late is not None:
        return Settlement(event=event, kind="late_usage", late=made, late_nano=late, txn_id=ONE)
    costs = (OperatorCost(channel="main", currency="EUR", nano=9),)
    return Settlement(event=event, kind="capture", capture=made, costs=costs, txn_id=ONE)


def lines(postings: Postings) -> list[Line]:
    """Every line but its transaction, which is the same for all."""
    assert {row[0] for row in postings.rows} <= {ONE}
    return [row[1:] for row in postings.rows]


def fixed(made: Settlement) -> list[Line]:
    postings = Postings()
    post_fixed(postings, made)
    return lines(postings)


def overrun(made: Settlement, *, from_hold: int, from_available: int, owed: int) -> list[Line]:
    postings = Postings()
    post_overrun(postings, made, Capture(from_hold, from_available, owed, 0, 0, 0))
    return lines(postings)


COST: list[Line] = [
    (3, accounts.provider_cost("main", "EUR"), "EUR", "debit", 9),
    (4, accounts.provider_payable("main", "EUR"), "EUR", "credit", 9),
]


def test_a_capture_within_its_hold_moves_the_charge_from_the_bucket_to_revenue() -> None:
    for charge in (99, 100):
        assert fixed(settlement(charge=charge)) == [
            (1, 7, "USD", "debit", charge),
            (2, REVENUE, "USD", "credit", charge),
            *COST,
        ]


def test_a_capture_of_zero_has_no_lines_of_its_own() -> None:
    assert [line[1:] for line in fixed(settlement(charge=0))] == [line[1:] for line in COST]


def test_a_capture_above_its_hold_waits_for_the_balance() -> None:
    made = settlement(charge=101)
    assert [line[1:] for line in fixed(made)] == [line[1:] for line in COST]
    assert overrun(made, from_hold=100, from_available=0, owed=1) == [
        (1, 7, "USD", "debit", 100),
        (2, REVENUE, "USD", "credit", 100),
        (3, accounts.overrun_receivable("USD"), "USD", "debit", 1),
        (4, REVENUE, "USD", "credit", 1),
    ]
    assert overrun(made, from_hold=100, from_available=1, owed=0) == [
        (1, 7, "USD", "debit", 101),
        (2, REVENUE, "USD", "credit", 101),
    ]


def test_what_fits_its_hold_is_posted_once() -> None:
    for charge in (0, 99, 100):
        assert overrun(settlement(charge=charge), from_hold=charge, from_available=0, owed=0) == []
    assert overrun(settlement(charge=0, late=5), from_hold=0, from_available=0, owed=5) == []


def test_a_hold_without_a_bucket_is_owed_whole() -> None:
    made = settlement(charge=5, hold=0, account=None)
    assert [line[1:] for line in fixed(made)] == [line[1:] for line in COST]
    assert overrun(made, from_hold=0, from_available=0, owed=5) == [
        (1, accounts.overrun_receivable("USD"), "USD", "debit", 5),
        (2, REVENUE, "USD", "credit", 5),
    ]


def test_late_usage_is_written_off() -> None:
    assert fixed(settlement(charge=50, late=30)) == [
        (1, accounts.write_off("USD"), "USD", "debit", 30),
        (2, REVENUE, "USD", "credit", 30),
    ]


def test_postings_number_their_lines_per_transaction_and_drain_once() -> None:
    postings = Postings()
    postings.move(ONE, 7, REVENUE, "USD", 5)
    postings.move(TWO, 8, REVENUE, "USD", 6)
    postings.move(TWO, 8, REVENUE, "USD", 0)
    assert postings.accounts == {REVENUE.name: REVENUE}
    assert columns_of(postings.drain({REVENUE: 70}.__getitem__)) == {
        "txns": [ONE, ONE, TWO, TWO],
        "lines": [1, 2, 1, 2],
        "accounts": [7, 70, 8, 70],
        "currencies": ["USD"] * 4,
        "sides": ["debit", "credit"] * 2,
        "amounts": [5, 5, 6, 6],
    }
    assert postings.rows == []
    postings.move(ONE, REVENUE, 7, "USD", 1)
    assert column(postings.drain({REVENUE: 70}.__getitem__)["lines"]) == [3, 4]


def test_windows_add_up_the_ends_of_their_holds() -> None:
    windows = Windows()
    windows.add([3, 4], released=10, spent=7, overrun=1)
    windows.add([3], released=5)
    windows.add([3], released=2, spent=2, overrun=4)
    assert columns_of(windows.parameters()) == {"ids": [3, 4], "released": [17, 10], "spent": [9, 7], "overruns": [5, 1]}


def test_transactions_become_one_array_for_each_column() -> None:
    txns = Txns()
    txns.add(
        ONE,
        "capture",
        "settle:1",
        holder="a",
        detail={"note": 'a "b"'},
        request_hash="\\xff",
        price_version=3,
        request_id=TWO,
        hold_id=ONE,
    )
    txns.add(TWO, "topup", "topup:x", holder="b", detail={})
    assert columns_of(txns.parameters()) == {
        "ids": [ONE, TWO],
        "kinds": ["capture", "topup"],
        "idem_keys": ["settle:1", "topup:x"],
        "hashes": ["\\xff", None],
        "price_versions": [3, None],
        "holders": ["a", "b"],
        "request_ids": [TWO, None],
        "hold_ids": [ONE, None],
        "details": ['{"note":"a \\"b\\""}', "{}"],
    }


def test_events_become_one_array_for_each_column() -> None:
    outbox = Outbox()
    outbox.add("t.v1", "a", "Captured", ONE, "{}")
    outbox.add("t.v1", 'b"', "Released", TWO, "[]")
    assert columns_of(outbox.parameters()) == {
        "topics": ["t.v1", "t.v1"],
        "keys": ["a", 'b"'],
        "types": ["Captured", "Released"],
        "refs": [ONE, TWO],
        "payloads": b"{}[]",
        "starts": [1, 3],
        "sizes": [2, 2],
    }


def test_cases_become_one_array_for_each_column() -> None:
    full = CaseDraft(
        id=ONE, kind="overrun", detail="d", holder="a", request_id=ONE, hold_id=TWO, currency="USD", exposure_nano=4
    )
    bare = CaseDraft(id=TWO, kind="other", detail="e", holder="b")
    assert columns_of(case_parameters([full, bare])) == {
        "ids": [ONE, TWO],
        "kinds": ["overrun", "other"],
        "holders": ["a", "b"],
        "request_ids": [ONE, None],
        "hold_ids": [TWO, None],
        "currencies": ["USD", None],
        "exposures": [4, None],
        "details": ["d", "e"],
    }


def test_no_rows_are_so_many_empty_columns() -> None:
    assert list(columns([], 3)) == [(), (), ()]
    assert list(columns([(1, 2), (3, 4)], 2)) == [(1, 3), (2, 4)]
