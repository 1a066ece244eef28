"""Credit that expires: spent first, taken back when its time is over, never what is held."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.envelope import now
from schemas.money import Usage
from services.settlement import credit_store
from services.settlement.credit_sweeper import CreditSweeper
from services.settlement.database import connect
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.lots import Credit, fold
from tests.integration.settlement.corrections import CASES
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, completion, hold_for

UNIT = 1_000_000_000
OVER = now() + timedelta(days=400)
"""An instant at which everything below is over."""


def soon(days: float = 1) -> datetime:
    """An instant to come."""
    return now() + timedelta(days=days)


def lots(ledger: Ledger) -> dict[UUID, int]:
    """What is left of each lot in the bucket, as of now."""
    found = credit_store.promotional(ledger.connection, "a").get("credit")
    return {lot.id: lot.left_nano for lot in found.lots} if found else {}


def spend(ledger: Ledger, output: int, **fields: Any) -> int:
    """A request of so many output tokens; what it cost."""
    request = hold_for("a", max_output_tokens=output, **fields)
    ledger.held(request)
    usage = Usage(input_tokens=400, output_tokens=output)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=usage)]))
    return 400 * 2_500 + output * 10_000


def refolded(ledger: Ledger) -> Credit:
    """The bucket's credit from its first move on, beside what is stored."""
    account = ledger.rows("select account from credit")[0]["account"]
    return fold(Credit(seq=0, posted_nano=0), credit_store.moves(ledger.connection, account, 0, limit=None))


def stored(ledger: Ledger) -> Credit:
    """The bucket's credit as it is stored, after it has caught up."""
    account = ledger.rows("select account from credit")[0]["account"]
    credit_store.catch_up(ledger.connection, account)
    found = credit_store.read(ledger.connection, account, lock=False)
    assert found is not None
    return found.credit


def test_a_promotion_is_balance_until_it_expires_unspent(funded: Ledger) -> None:
    answer = funded.promote("a", "credit", "5", soon())
    assert funded.balance("a") == (15 * UNIT, 0)
    assert funded.expire_promotions() == []
    assert funded.expire_promotions(OVER) == [(UUID(answer["promotion_id"]), 5 * UNIT)]
    assert funded.balance("a") == (10 * UNIT, 0)
    assert funded.expire_promotions(OVER) == []
    assert [kind for _, kind, _ in funded.outbox()][-2:] == ["PromotionGranted", "CreditExpired"]
    funded.assert_sound()


def test_spending_takes_the_promotion_that_expires_soonest(funded: Ledger) -> None:
    late = UUID(funded.promote("a", "credit", "1", soon(30))["promotion_id"])
    first = UUID(funded.promote("a", "credit", "1", soon(1))["promotion_id"])
    cost = spend(funded, 1_000)
    assert lots(funded) == {first: UNIT - cost, late: UNIT}
    assert funded.expire_promotions(soon(2)) == [(first, UNIT - cost)]
    assert funded.balance("a") == (11 * UNIT, 0)
    assert funded.expire_promotions(OVER) == [(late, UNIT)]
    assert refolded(funded) == stored(funded)
    funded.assert_sound()


def test_what_is_held_expires_when_it_comes_free(funded: Ledger) -> None:
    lot = UUID(funded.promote("a", "credit", "1", soon())["promotion_id"])
    request = hold_for("a", max_output_tokens=10_000)
    held = funded.held(request)["amount_nano"]
    assert funded.expire_promotions(OVER) == [(lot, UNIT - held)]
    assert funded.expire_promotions(OVER) == []
    assert funded.balance("a") == (10 * UNIT + held, held)
    funded.assert_sound()
    funded.complete(completion(request))
    assert funded.expire_promotions(OVER) == [(lot, held - 1_375_000)]
    assert funded.balance("a") == (10 * UNIT, 0)
    funded.assert_sound()


def test_a_key_of_a_promotion_is_used_once(funded: Ledger) -> None:
    at = soon()
    first = funded.promote("a", "credit", "1", at, key="k")
    assert funded.promote("a", "credit", "1", at, key="k") == first
    with pytest.raises(ConflictError):
        funded.promote("a", "credit", "1", at + timedelta(seconds=1), key="k")
    for wrong, code in ((("credit", "0", at), "invalid_amount"), (("gold", "1", at), "unknown_bucket")):
        with pytest.raises(InvalidError) as refused:
            funded.promote("a", *wrong)
        assert refused.value.code == code
    with pytest.raises(InvalidError) as refused:
        funded.promote("a", "credit", "1", now() - timedelta(seconds=1))
    assert refused.value.code == "invalid_expiry"
    assert funded.balance("a") == (11 * UNIT, 0)
    funded.assert_sound()


def test_a_promotion_pays_debts_first_and_only_the_rest_expires(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1", payment_id="p")
    ledger.adjust("a", "credit", "-0.75")
    ledger.charge_back("p")
    answer = ledger.promote("a", "credit", "1", soon())
    assert (answer["repaid_nano"], ledger.balance("a")) == (UNIT * 3 // 4, (UNIT // 4, 0))
    assert ledger.expire_promotions(OVER) == [(UUID(answer["promotion_id"]), UNIT // 4)]
    ledger.top_up("b", "credit", "1", payment_id="q")
    ledger.adjust("b", "credit", "-1")
    ledger.charge_back("q")
    ledger.promote("b", "credit", "1", soon())
    assert ledger.expire_promotions(OVER) == []
    ledger.assert_sound()


def test_history_before_the_first_promotion_is_not_read(funded: Ledger) -> None:
    for _ in range(3):
        spend(funded, 10)
    funded.promote("a", "credit", "1", soon())
    account = funded.rows("select account from credit")[0]["account"]
    assert len(credit_store.moves(funded.connection, account, 0, limit=None)) == 5
    assert credit_store.catch_up(funded.connection, account) == 0
    spend(funded, 10)
    spend(funded, 10)
    assert credit_store.catch_up(funded.connection, account) == 2
    assert credit_store.catch_up(funded.connection, account) == 0
    funded.expire_promotions(OVER)
    spend(funded, 10)
    assert credit_store.catch_up(funded.connection, account) == 0
    assert len(funded.rows("select * from credit where has_lots")) == 0
    funded.promote("a", "credit", "2", soon())
    assert sum(lots(funded).values()) == 2 * UNIT
    funded.assert_sound()


def test_a_run_gives_back_to_the_promotion_what_it_did_not_spend(funded: Ledger) -> None:
    lot = UUID(funded.promote("a", "credit", "1", soon())["promotion_id"])
    run = funded.open_run("a", KEY, {"credit": "3"})
    assert lots(funded) == {lot: 0}
    assert funded.expire_promotions(OVER) == []
    cost = spend(funded, 1_000, run_id=run)
    funded.close_run("a", run, KEY)
    assert lots(funded) == {lot: UNIT - cost}
    assert funded.expire_promotions(OVER) == [(lot, UNIT - cost)]
    assert funded.balance("a") == (10 * UNIT, 0)
    assert refolded(funded) == stored(funded)
    funded.assert_sound()


def test_a_run_that_was_open_before_the_first_promotion_gives_back_paid_money_too(funded: Ledger) -> None:
    run = funded.open_run("a", KEY, {"credit": "2"})
    lot = UUID(funded.promote("a", "credit", "1", soon())["promotion_id"])
    funded.extend_run("a", run, KEY, budget={"credit": "1"})
    assert lots(funded) == {lot: 0}
    cost = spend(funded, 1_000, run_id=run)
    funded.close_run("a", run, KEY)
    assert lots(funded) == {lot: UNIT - cost}
    funded.assert_sound()


def test_a_refund_into_an_open_run_goes_back_to_its_reserve_and_later_to_the_bucket(funded: Ledger) -> None:
    run = funded.open_run("a", KEY, {"credit": "3"})
    request = hold_for("a", run_id=run)
    funded.held(request)
    funded.complete(completion(request))
    into_run = funded.refund("a", request.request_id, "0.001")
    assert into_run["run_id"] == run
    assert funded.run("a", run)["budgets"][0]["left_nano"] == 3 * UNIT - 375_000
    funded.close_run("a", run, KEY)
    assert funded.balance("a") == (10 * UNIT - 375_000, 0)
    assert funded.refund("a", request.request_id)["run_id"] is None
    assert funded.balance("a") == (10 * UNIT, 0)
    shown = funded.receipt("a", request.request_id)
    assert [each["run_id"] for each in shown["refunds"]] == [run, None]
    assert any(f"to the reserve of run {run}" in sentence for sentence in shown["explanation"])
    funded.assert_sound()


def test_a_chargeback_takes_paid_money_before_promotional(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "3", payment_id="p")
    lot = UUID(ledger.promote("a", "credit", "1", soon())["promotion_id"])
    ledger.adjust("a", "credit", "-0.25")
    assert lots(ledger) == {lot: UNIT * 3 // 4}
    ledger.charge_back("p")
    assert lots(ledger) == {lot: UNIT * 3 // 4}
    ledger.assert_sound()


def test_a_bucket_whose_moves_do_not_fold_becomes_one_case_and_the_others_go_on(funded: Ledger) -> None:
    funded.promote("a", "credit", "5", soon())
    funded.top_up("b", "credit", "1")
    funded.promote("b", "credit", "2", soon())
    funded.connection.execute("update credit set posted = posted + 1 where holder = 'a'")
    funded.adjust("a", "credit", "-1")
    sweeper = CreditSweeper(
        lambda: connect(funded.url, statement_timeout_ms=20_000), interval_s=1, clock=lambda: OVER, terms=CASES
    )
    assert [sweeper.sweep(), sweeper.sweep()] == [1, 0]
    assert (funded.balance("a"), funded.balance("b")) == ((14 * UNIT, 0), (UNIT, 0))
    assert funded.rows('select kind, holder from "case"') == [{"kind": "credit_mismatch", "holder": "a"}]


def test_a_sweep_looks_at_every_bucket(funded: Ledger) -> None:
    for number in range(3):
        funded.promote(f"c{number}", "credit", "1", soon())
    sweeper = CreditSweeper(
        lambda: connect(funded.url, statement_timeout_ms=20_000), interval_s=1, clock=lambda: OVER, terms=CASES
    )
    assert [sweeper.sweep(), sweeper.sweep()] == [3, 0]
    funded.assert_sound()
