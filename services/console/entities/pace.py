"""Requests and tokens per minute as options."""

from typing import Annotated, Any

import typer

from services.console.entities.policy_words import ANY
from services.console.spoken import SpokenError

Rpm = Annotated[
    str | None,
    typer.Option("--rpm", metavar="N|any", help="Requests per minute at most; any: none of its own.", show_default=False),
]
Tpm = Annotated[
    str | None,
    typer.Option("--tpm", metavar="N|any", help="Tokens per minute at most; any: none of its own.", show_default=False),
]


def pace(rpm: str | None, tpm: str | None) -> dict[str, Any]:
    """What was said, as edge takes it. Raises SpokenError."""
    said = {"requests_per_minute": rpm, "tokens_per_minute": tpm}
    return {name: _number(name, text) for name, text in said.items() if text is not None}


def _number(name: str, text: str) -> int | None:
    if text == ANY:
        return None
    digits = text.replace(",", "")
    if not digits.isascii() or not digits.isdecimal():
        raise SpokenError(f"{name.replace('_', ' ')} {text!r}: write a number such as 600, or any")
    return int(digits)
