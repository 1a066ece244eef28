"""What `tollbook init` has to know: given by flags, asked for, or taken as it stands."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import typer

from services.console.errors import NobodyAskedError

How = Literal["merge", "replace", "keep"]
AMOUNT = re.compile(r"(?P<bucket>[A-Za-z0-9_.-]{1,64})=(?P<amount>[0-9]+(?:\.[0-9]+)?)(?:/(?P<window>total|day|month))?")
NO_PROVIDER = "none"
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Money:
    """So much of a bucket: a payment, or the limit of a window."""

    bucket: str
    amount: str
    window: str = "total"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything that is to be there in the end."""

    provider: str | None
    base_url: str | None
    key_variable: str | None
    secret: str | None
    channel: str | None
    account: str
    project: str
    key: str
    owner: str | None
    topups: tuple[Money, ...]
    budgets: tuple[Money, ...]
    routes: How | None
    prices: How
    check: bool


def money_of(texts: Sequence[str], flag: str, *, windows: bool) -> tuple[Money, ...]:
    """Amounts such as `credit=20` or, for a budget, `credit=50/month`. Raises BadParameter for anything else."""
    return tuple(_money(text, flag, windows=windows) for text in texts)


def _money(text: str, flag: str, *, windows: bool) -> Money:
    form = "BUCKET=AMOUNT[/day|month|total], such as credit=50/month" if windows else "BUCKET=AMOUNT, such as credit=20"
    match = AMOUNT.fullmatch(text.strip())
    if match is None or (match["window"] and not windows) or not _positive(match["amount"]):
        raise typer.BadParameter(f"{text!r} is not {form}", param_hint=flag)
    return Money(bucket=match["bucket"], amount=match["amount"], window=match["window"] or ("month" if windows else "total"))


def _positive(text: str) -> bool:
    try:
        return Decimal(text) > 0
    except InvalidOperation:
        return False


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Asks a person, or takes what a question would offer where nobody is to be asked (`--yes`)."""

    yes: bool
    present: bool
    """Whether a person is there."""
    prompt: Callable[..., Any] = typer.prompt

    def text(self, given: str | None, question: str, offered: str) -> str:
        """A word or a line."""
        if given is not None:
            return given
        return offered if self._silent(question) else str(self.prompt(question, default=offered, err=True)).strip()

    def choice(self, given: str | None, question: str, choices: Sequence[str], offered: str) -> str:
        """One of several. Raises BadParameter for anything else that was given."""
        if given is not None and given not in choices:
            raise typer.BadParameter(f"{given!r} is none of {', '.join(choices)}")
        if given is not None:
            return given
        if self._silent(question):
            return offered
        while (
            said := str(self.prompt(f"{question} ({', '.join(choices)})", default=offered, err=True)).strip()
        ) not in choices:
            typer.echo(f"{said!r} is none of them.", err=True)
        return said

    def amounts(
        self, given: Sequence[str] | None, question: str, offered: str, flag: str, *, windows: bool
    ) -> tuple[Money, ...]:
        """Amounts, separated by commas; `-` for none."""
        said = given if given is not None else self.text(None, question, offered).split(",")
        return () if list(said) in ([NOTHING], [""]) else money_of(said, flag, windows=windows)

    def _silent(self, question: str) -> bool:
        if not self.yes and not self.present:
            raise NobodyAskedError(
                f"Nobody is here to answer: {question}? Give --yes to take what would be offered, or the flags"
            )
        return self.yes


def keys_of(variable: str | None, secret: str | None) -> list[Mapping[str, str]] | None:
    """The channel's keys: a secret that router seals, or the variable of router's environment that holds it."""
    if secret is not None:
        return [{"secret": secret}]
    return None if variable is None else [{"secret_env": variable}]
