"""What a reconciliation found, in words for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.money import format_amount
from services.console.reconcile.invoice_file import InvoiceFile
from services.console.reconcile.matching import Report, Share
from services.console.terminal import Terminal

SHOWN = 20
"""Entries of one kind that a person is shown; `--json` has all."""
WORDS = {"requests": "requests", "prompt_tokens": "prompt tokens", "output_tokens": "output tokens", "cost_nano": "cost"}
SAID_ELSEWHERE = frozenset(("why", "currency"))


def say(terminal: Terminal, report: Report, invoice: InvoiceFile) -> None:
    """The report, the capture rate first."""
    terminal.say(f"{report.lines} line{'' if report.lines == 1 else 's'}, {report.matched} matched by {report.by}")
    for currency, share in sorted(report.cost.items()):
        terminal.say(f"capture rate {_percent(share)} of {format_amount(share.billed)} {currency} billed")
    if report.tokens.billed:
        terminal.say(f"capture rate {_percent(report.tokens)} of {report.tokens.billed} tokens billed")
    if invoice.unused:
        terminal.say(f"columns that were not used: {', '.join(invoice.unused)}")
    for number, why in invoice.bad[:SHOWN]:
        terminal.say(f"line {number} was left out: {why}", style="red")
    _say_cut(terminal, invoice.bad)
    for title, entries in (
        ("Only the provider has", report.only_provider),
        ("Only the ledger has", report.only_ledger),
        ("Different", report.different),
    ):
        _say_entries(terminal, title, entries)
    _say_exposure(terminal, report)
    if report.unexplained:
        terminal.say(f"{report.unexplained} entries are not explained", style="red")


def _say_entries(terminal: Terminal, title: str, entries: Sequence[dict[str, Any]]) -> None:
    if not entries:
        return
    terminal.say(f"{title}: {len(entries)}")
    for entry in sorted(entries, key=lambda each: each["why"] is not None)[:SHOWN]:
        terminal.say(f"  {entry_said(entry)}: {entry['why'] or 'NOT EXPLAINED'}", style=None if entry["why"] else "red")
    _say_cut(terminal, entries)


def entry_said(entry: Mapping[str, Any]) -> str:
    """One entry in words: both sides of what differs, money in its currency."""
    currency = entry.get("currency") or ""
    parts = (
        _field(name, value, currency)
        for name, value in entry.items()
        if name not in SAID_ELSEWHERE and value not in (None, [], "")
    )
    return ", ".join(parts)


def _field(name: str, value: Any, currency: str) -> str:
    money = name == "cost_nano"
    if isinstance(value, dict):
        provider, ledger = (_figure(value[side], currency, money=money) for side in ("provider", "ledger"))
        return f"{WORDS.get(name, name)} {provider} billed and {ledger} in the ledger"
    if isinstance(value, list):
        return f"{name} {' '.join(map(str, value))}"
    return f"{WORDS.get(name, name)} {_figure(value, currency, money=money)}"


def _figure(value: Any, currency: str, *, money: bool) -> str:
    if value is None:
        return "nothing"
    return f"{format_amount(value)} {currency}".rstrip() if money else str(value)


def _say_exposure(terminal: Terminal, report: Report) -> None:
    if report.exposure:
        terminal.say(f"Exposure: {len(report.exposure)} calls of which nothing came back, and which may be billed all the same")
        columns = ("request_id", "attempt", "channel", "model", "started_at", "error_class", "billed_on_line")
        terminal.table(columns, [[entry.get(name) for name in columns] for entry in report.exposure[:SHOWN]])
        _say_cut(terminal, report.exposure)


def _say_cut(terminal: Terminal, entries: Sequence[object]) -> None:
    """A list that was cut says so."""
    if len(entries) > SHOWN:
        terminal.say(f"  … and {len(entries) - SHOWN} more: --json has all of them")


def say_absent(terminal: Terminal, provider: str, brands: Iterable[str]) -> None:
    """The ledger has nothing of the provider: perhaps its name is another one."""
    known = ", ".join(sorted(brands))
    has = f"it has attempts of {known}: is --provider one of them?" if known else "it has none of any other provider either"
    terminal.error(f"In this period the ledger has no attempt of the provider {provider!r}; {has}")


def _percent(share: Share) -> str:
    return "-" if share.rate is None else f"{share.rate:.2%}"
