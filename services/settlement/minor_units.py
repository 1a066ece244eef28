"""Amounts of a payment provider, integers of a currency's smallest unit, as nano. Pure. Source: Stripe's list of currencies."""

from services.settlement.errors import InvalidError

ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
UNCLEAR = frozenset({"UGX"})
"""Listed without decimals, and billed with two: a person decides, since a hundredfold is too much to be wrong by."""
NANO_DIGITS = 9
MOST_NANO = 10**18
"""A billion units."""


def nano_of(minor: int, currency: str) -> int:
    """Nano of an amount in the smallest unit of a currency (upper case). Raises InvalidError where the unit is not certain."""
    if currency in UNCLEAR or not (currency.isascii() and currency.isalpha() and len(currency) == 3):
        raise InvalidError(f"amounts of {currency!r} cannot be read with certainty", code="unclear_currency", param="currency")
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    factor: int = 10 ** (NANO_DIGITS - digits)
    if not 0 < minor <= MOST_NANO // factor:
        raise InvalidError(f"{minor} is not an amount of a payment", code="invalid_amount", param="amount")
    return minor * factor
