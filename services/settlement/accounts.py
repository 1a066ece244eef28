"""The ledger's accounts: the one place where their names are spelt.

A name is `kind/…/currency`. Liabilities and revenue grow by credit, assets and expenses by debit.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Side = Literal["debit", "credit"]
DEBIT: Side = "debit"
CREDIT: Side = "credit"


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """An account of the double-entry ledger. `holder` and `bucket` are set for a customer's buckets and reserves."""

    name: str
    kind: str
    currency: str
    normal_side: Side
    holder: str | None = None
    bucket: str | None = None


def customer_bucket(holder: str, bucket: str, currency: str) -> LedgerAccount:
    """What Tollbook owes a customer: its prepaid balance in one bucket."""
    return LedgerAccount(f"customer/{holder}/{bucket}/{currency}", "customer_bucket", currency, CREDIT, holder, bucket)


def run_reserve(holder: str, run: str, bucket: str, currency: str) -> LedgerAccount:
    """What a customer has set aside for one run, out of one bucket."""
    return LedgerAccount(f"run_reserve/{run}/{bucket}/{currency}", "run_reserve", currency, CREDIT, holder, bucket)


@lru_cache(maxsize=4096)
def revenue(currency: str) -> LedgerAccount:
    """What customers were charged."""
    return LedgerAccount(f"revenue/{currency}", "revenue", currency, CREDIT)


@lru_cache(maxsize=4096)
def top_up_clearing(provider: str, currency: str) -> LedgerAccount:
    """Payments that a payment provider took for us."""
    return LedgerAccount(f"top_up_clearing/{provider}/{currency}", "top_up_clearing", currency, DEBIT)


@lru_cache(maxsize=4096)
def provider_cost(channel: str, currency: str) -> LedgerAccount:
    """What attempts on a channel cost the operator."""
    return LedgerAccount(f"provider_cost/{channel}/{currency}", "provider_cost", currency, DEBIT)


@lru_cache(maxsize=4096)
def provider_payable(channel: str, currency: str) -> LedgerAccount:
    """What the operator owes for attempts on a channel."""
    return LedgerAccount(f"provider_payable/{channel}/{currency}", "provider_payable", currency, CREDIT)


@lru_cache(maxsize=4096)
def write_off(currency: str) -> LedgerAccount:
    """Usage that nobody is charged for: it arrived after its hold had expired."""
    return LedgerAccount(f"write_off/{currency}", "write_off", currency, DEBIT)


@lru_cache(maxsize=4096)
def overrun_receivable(currency: str) -> LedgerAccount:
    """Charges beyond hold and balance, until the next top-up pays them."""
    return LedgerAccount(f"overrun_receivable/{currency}", "overrun_receivable", currency, DEBIT)


@lru_cache(maxsize=4096)
def adjustment(currency: str) -> LedgerAccount:
    """What operators gave to buckets and took from them, beyond payments and charges."""
    return LedgerAccount(f"adjustment/{currency}", "adjustment", currency, DEBIT)


@lru_cache(maxsize=4096)
def promotion(currency: str) -> LedgerAccount:
    """Credit that was given away."""
    return LedgerAccount(f"promotion/{currency}", "promotion", currency, DEBIT)


@lru_cache(maxsize=4096)
def breakage(currency: str) -> LedgerAccount:
    """Promotional credit that expired unspent."""
    return LedgerAccount(f"breakage/{currency}", "breakage", currency, CREDIT)
