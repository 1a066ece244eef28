"""The ledger's accounts: their names are spelt once, and what grows by which side is settled for ever."""

import pytest

from services.settlement import accounts
from services.settlement.accounts import LedgerAccount

ACCOUNTS = [
    (
        accounts.customer_bucket("acme", "credit", "USD"),
        LedgerAccount("customer/acme/credit/USD", "customer_bucket", "USD", "credit", "acme", "credit"),
    ),
    (
        accounts.run_reserve("acme", "run_1", "credit", "USD"),
        LedgerAccount("run_reserve/run_1/credit/USD", "run_reserve", "USD", "credit", "acme", "credit"),
    ),
    (accounts.revenue("USD"), LedgerAccount("revenue/USD", "revenue", "USD", "credit")),
    (
        accounts.top_up_clearing("bank", "USD"),
        LedgerAccount("top_up_clearing/bank/USD", "top_up_clearing", "USD", "debit"),
    ),
    (accounts.provider_cost("main", "EUR"), LedgerAccount("provider_cost/main/EUR", "provider_cost", "EUR", "debit")),
    (
        accounts.provider_payable("main", "EUR"),
        LedgerAccount("provider_payable/main/EUR", "provider_payable", "EUR", "credit"),
    ),
    (accounts.write_off("USD"), LedgerAccount("write_off/USD", "write_off", "USD", "debit")),
    (accounts.overrun_receivable("USD"), LedgerAccount("overrun_receivable/USD", "overrun_receivable", "USD", "debit")),
    (accounts.adjustment("USD"), LedgerAccount("adjustment/USD", "adjustment", "USD", "debit")),
    (accounts.promotion("USD"), LedgerAccount("promotion/USD", "promotion", "USD", "debit")),
    (accounts.breakage("USD"), LedgerAccount("breakage/USD", "breakage", "USD", "credit")),
]


@pytest.mark.parametrize(("made", "wanted"), ACCOUNTS, ids=[wanted.kind for _, wanted in ACCOUNTS])
def test_an_account_has_its_name_its_side_and_its_owner(made: LedgerAccount, wanted: LedgerAccount) -> None:
    assert made == wanted
