"""The hold function holds what the model says, for any prices, bounds and balances, and refuses only what cannot be paid."""

from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.calls import HoldRequest
from schemas.ledger import PriceItem
from schemas.money import Prices, hold_nano
from services.settlement.bounds import UnitPrice, amount_nano, output_cap
from services.settlement.hold_arrays import HoldArrays
from services.settlement.holds import HoldOrder
from services.settlement.pricebook import Bucket, PriceBook
from services.settlement.statements import statement
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import candidate, hold_for
from tests.property.settlement.model.caps import DEFAULT, FLOOR, cap_that_fits

prices = st.builds(
    lambda input_, cached, write, output: Prices(input=input_, cached_input=cached, cache_write=write, output=output),
    *[st.one_of(st.just(0), st.integers(0, 10**6), st.integers(0, 200_000 * 10**9)) for _ in range(4)],
)
tokens = st.one_of(st.integers(0, 300), st.integers(0, 2_000_000))
amounts = st.one_of(st.integers(0, 10**7), st.integers(0, 10**12), st.integers(0, 2**62))


def book_of(listed: list[Prices]) -> PriceBook:
    """A book with one model per price, on the version that is in force."""
    items = [PriceItem(route_type="direct", model=f"m{n}", currency="USD", prices=each) for n, each in enumerate(listed)]
    found = {(item.route_type, item.model): item.prices for item in items}
    return PriceBook(version=1, sha256="", buckets={"direct": Bucket("credit", "USD")}, prices=found, items=tuple(items))


def decided(ledger: Ledger, order: HoldOrder, free_nano: int, left_nano: int | None) -> tuple[Any, ...]:
    """(state, amount, cap, needed, left) by the hold function, on a bucket and a key with so much left."""
    connection = ledger.connection
    arrays = HoldArrays([order], version=1, default_output=DEFAULT, floor_output=FLOOR)
    with connection.transaction(force_rollback=True):
        connection.execute("update bucket_balance set posted = %s where holder = 'a'", [free_nano])
        if left_nano is not None:
            connection.execute("update envelope set limit_nano = %s where holder = 'a'", [max(left_nano, 0)])
            connection.execute("update envelope_window set spent = %s", [max(-left_nano, 0)])
        row = connection.execute(statement("place_holds"), arrays.parameters).fetchone()
    assert row is not None
    return row[0][0], row[1][0], row[2][0], row[6][0], row[7][0]


def expected(request: HoldRequest, listed: list[Prices], free_nano: int, left_nano: int | None) -> tuple[Any, ...]:
    """The same by the model's rules."""
    units = [UnitPrice(each.dearest_input, each.output) for each in listed]
    least = free_nano if left_nano is None else min(free_nano, left_nano)
    if request.max_output_tokens is not None:
        cap = min(request.max_output_tokens, request.model_max_output_tokens)
    else:
        cap = cap_that_fits(request, listed, least)
        assert cap == output_cap(
            units,
            input_tokens=request.input_tokens_bound,
            choices=request.choices,
            free_nano=least,
            model_max=request.model_max_output_tokens,
            default=DEFAULT,
            floor=FLOOR,
        )
    amount = amount_nano(units, request.input_tokens_bound, cap * request.choices)
    if amount > free_nano:
        return "REFUSED", 0, 0, amount, free_nano
    if left_nano is not None and amount > left_nano:
        return "REFUSED", 0, 0, amount, left_nano
    return "HELD", amount, cap, None, None


@settings(deadline=None, max_examples=300)
@given(
    listed=st.lists(prices, min_size=1, max_size=4),
    input_tokens=tokens,
    max_output=st.one_of(st.none(), tokens),
    model_max=tokens,
    choices=st.integers(1, 128),
    free_nano=amounts,
    left_nano=st.one_of(st.none(), amounts),
)
@example(
    listed=[Prices(input=0, cached_input=0, cache_write=0, output=0)],
    input_tokens=0,
    max_output=None,
    model_max=0,
    choices=1,
    free_nano=0,
    left_nano=0,
)
@example(  # a limit far below what was spent under it: its four-fold and its million-fold do not fit 64 bits
    listed=[Prices(input=1, cached_input=1, cache_write=1, output=1)],
    input_tokens=1,
    max_output=None,
    model_max=9,
    choices=1,
    free_nano=2**62,
    left_nano=-(2**62),
)
def test_sql_and_model_hold_the_same_amount_under_the_same_cap(  # noqa: PLR0917 - hypothesis names what it draws
    shared_ledger: Ledger,
    listed: list[Prices],
    input_tokens: int,
    max_output: int | None,
    model_max: int,
    choices: int,
    free_nano: int,
    left_nano: int | None,
) -> None:
    prepare(shared_ledger)
    request = hold_for(
        "a",
        candidates=[candidate(model=f"m{number}") for number in range(len(listed))],
        input_tokens_bound=input_tokens,
        max_output_tokens=max_output,
        model_max_output_tokens=model_max,
        choices=choices,
    )
    order = HoldOrder(request, book_of(listed), None)
    if order.code is not None:
        assert order.needed_nano is not None
        assert order.needed_nano > 9_000_000_000_000
        return
    assert decided(shared_ledger, order, free_nano, left_nano) == expected(request, listed, free_nano, left_nano)


@settings(deadline=None, max_examples=300)
@given(
    listed=st.lists(prices, min_size=1, max_size=4),
    input_tokens=tokens,
    model_max=tokens,
    choices=st.integers(1, 128),
    spare=st.one_of(st.integers(-2, 2), st.integers(0, 10**7), amounts),
    limited=st.booleans(),
)
def test_without_a_cap_only_what_cannot_be_paid_with_one_token_is_refused(  # noqa: PLR0917 - hypothesis names what it draws
    shared_ledger: Ledger,
    listed: list[Prices],
    input_tokens: int,
    model_max: int,
    choices: int,
    spare: int,
    limited: bool,
) -> None:
    """What is free lies around the price of one token: `spare` is how much more it is."""
    prepare(shared_ledger)
    fields: dict[str, Any] = {"input_tokens_bound": input_tokens, "model_max_output_tokens": model_max, "choices": choices}
    fields["candidates"] = [candidate(model=f"m{number}") for number in range(len(listed))]
    units = [UnitPrice(each.dearest_input, each.output) for each in listed]
    open_, one, floor = (
        HoldOrder(hold_for("a", max_output_tokens=cap, **fields), book_of(listed), None) for cap in (None, 1, FLOOR)
    )
    assert open_.code == one.code
    if one.code is not None:
        return
    free = min(max(amount_nano(units, input_tokens, min(1, model_max) * choices) + spare, 0), 2**62)
    free_nano, left_nano = (2**62, free) if limited else (free, None)
    state, amount, cap, needed, _ = decided(shared_ledger, open_, free_nano, left_nano)
    one_state, _, _, one_needed, _ = decided(shared_ledger, one, free_nano, left_nano)
    assert (state, needed) == (one_state, one_needed)
    if state == "HELD":
        assert amount <= free
        at_the_floor = amount_nano(units, input_tokens, min(FLOOR, model_max) * choices)
        assert amount <= max(free // 4, at_the_floor)
        assert cap <= FLOOR or floor.code is None


@given(listed=st.lists(prices, min_size=1, max_size=4), input_tokens=tokens, output_tokens=tokens)
def test_a_hold_covers_every_candidate(listed: list[Prices], input_tokens: int, output_tokens: int) -> None:
    units = [UnitPrice(each.dearest_input, each.output) for each in listed]
    assert amount_nano(units, input_tokens, output_tokens) == max(
        hold_nano(each, input_tokens, output_tokens) for each in listed
    )


def prepare(ledger: Ledger) -> None:
    """A bucket and a limited key, once."""
    if not ledger.rows("select from bucket_balance where holder = 'a'"):
        ledger.top_up("a", "credit", "1")
        ledger.limit("a", "key", "key-1", "total", None)
        ledger.held(hold_for("a", max_output_tokens=0, input_tokens_bound=0))


def test_a_book_that_is_not_in_force_is_refused(shared_ledger: Ledger) -> None:
    order = HoldOrder(hold_for("a"), shared_ledger.books.in_force, None)
    arrays = HoldArrays([order], version=7, default_output=DEFAULT, floor_output=FLOOR)
    with pytest.raises(psycopg.Error) as refused:
        shared_ledger.connection.execute(statement("place_holds"), arrays.parameters)
    assert refused.value.sqlstate == "TB001"
