"""Amounts as people read them: exact, as text, with their currency."""

from typing import Any

from schemas.money import format_amount


def money(nano: int | None, currency: str | None) -> str | None:
    """`12.50 USD` of nano; None of None."""
    return None if nano is None else f"{format_amount(nano)} {currency or ''}".rstrip()


def nano_of(row: dict[str, Any], name: str, currency: str | None = None) -> str | None:
    """The row's `{name}_nano` as text in the row's currency."""
    return money(row.get(f"{name}_nano"), currency or row.get("currency"))
