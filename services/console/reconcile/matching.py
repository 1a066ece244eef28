"""Invoice against ledger: what only one side has, where they differ, and how much of the bill the ledger knows. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from services.console.reconcile.invoice import Line, said
from services.console.reconcile.ledger_side import Attempt, LedgerSide, UnknownEnd

SLACK = timedelta(seconds=5)
"""How far a provider's clock, which often tells whole seconds only, may be from ours."""


@dataclass(slots=True)
class Share:
    """What was billed, and what of it the ledger has."""

    billed: int = 0
    captured: int = 0

    def add(self, billed: int, captured: int) -> None:
        """One more line."""
        self.billed += billed
        self.captured += min(captured, billed)

    @property
    def rate(self) -> float | None:
        """The capture rate; None where nothing was billed."""
        return self.captured / self.billed if self.billed else None


@dataclass(slots=True)
class Report:
    """The result. Every entry has `why`, which is None where nothing explains it."""

    by: str
    lines: int = 0
    matched: int = 0
    only_provider: list[dict[str, Any]] = field(default_factory=list)
    only_ledger: list[dict[str, Any]] = field(default_factory=list)
    different: list[dict[str, Any]] = field(default_factory=list)
    exposure: list[dict[str, Any]] = field(default_factory=list)
    cost: dict[str, Share] = field(default_factory=lambda: defaultdict(Share))
    tokens: Share = field(default_factory=Share)

    @property
    def unexplained(self) -> int:
        """Entries that nothing explains."""
        entries = (*self.only_provider, *self.only_ledger, *self.different)
        return sum(entry["why"] is None for entry in entries)


def match_lines(lines: Sequence[Line], ledger: LedgerSide, since: datetime, until: datetime) -> Report:
    """Match by the provider's ids. Lines without a partner are looked for among attempts that nothing came back of."""
    report = Report("reply", lines=len(lines))
    by_id = {attempt.upstream_id: attempt for attempt in ledger.attempts if attempt.upstream_id}
    matched: dict[tuple[str, int], Line] = {}
    left: list[Line] = []
    for line in lines:
        attempt = next((by_id[each] for each in line.ids if each in by_id), None)
        if attempt is None:
            left.append(line)
        elif (other := matched.get(_key(attempt))) is not None:
            report.only_provider.append(_line(line, None, note=f"bills the same reply as line {other.number}"))
            _count(report, line, None)
        else:
            matched[_key(attempt)] = line
            _compare(report, line, attempt)
    report.matched = len(matched)
    billed = _explain(report, left, ledger)
    _exposure(report, ledger, billed)
    period = [attempt for attempt in ledger.attempts if since <= attempt.started_at <= until]
    _only_ledger(report, [attempt for attempt in period if _key(attempt) not in matched])
    return report


def match_days(lines: Sequence[Line], ledger: LedgerSide, since: datetime, until: datetime) -> Report:
    """Match sums of days and models, where the invoice names no single reply."""
    report = Report("day and model", lines=len(lines))
    billed: dict[tuple[date, str], list[Line]] = defaultdict(list)
    for line in lines:
        billed[line.day, line.model].append(line)
    known: dict[tuple[date, str], list[Attempt]] = defaultdict(list)
    for attempt in ledger.attempts:
        if since <= attempt.started_at <= until:
            known[attempt.started_at.date(), attempt.model].append(attempt)
    for key in sorted(billed.keys() | known.keys()):
        _compare_day(report, key, billed.get(key, []), known.get(key, []))
    _exposure(report, ledger, {})
    return report


def _compare(report: Report, line: Line, attempt: Attempt) -> None:
    _count(report, line, attempt)
    differs = {
        name: (told, known)
        for name, told, known in (
            ("prompt_tokens", line.prompt, attempt.prompt),
            ("output_tokens", line.output, attempt.output),
            ("cost_nano", line.cost_nano, attempt.cost_nano if attempt.currency == line.currency else None),
        )
        if told is not None and known is not None and told != known
    }
    if differs:
        entry: dict[str, Any] = {name: {"provider": told, "ledger": known} for name, (told, known) in differs.items()}
        entry |= {"currency": line.currency} if "cost_nano" in differs else {}
        why = _why_different(attempt) if _within(line, attempt) else None
        report.different.append({**_attempt(attempt), "line": line.number, **entry, "why": why})


def _within(line: Line, attempt: Attempt) -> bool:
    """Whether a line bills no more than the attempt can have come to, where that is known."""
    bounds = ((line.prompt, attempt.prompt, attempt.most_prompt), (line.output, attempt.output, attempt.most_output))
    return all(told is None or most is None or told <= max(known, most) for told, known, most in bounds)


def _why_different(attempt: Attempt) -> str | None:
    if attempt.source == "none":
        return f"the reply broke off before it told its usage ({attempt.error_class})"
    if attempt.source == "estimated":
        return "the reply told no usage: Tollbook counted the tokens itself"
    return None


def _explain(report: Report, left: Iterable[Line], ledger: LedgerSide) -> dict[tuple[str, int], Line]:
    """Find what lines without a partner may be for. Returns the line of each attempt that nothing had come back of."""
    silent: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in ledger.attempts:
        if attempt.unanswered:
            silent[attempt.model].append(attempt)
    unknown = list(ledger.unknown)
    billed: dict[tuple[str, int], Line] = {}
    for line in left:
        _count(report, line, None)
        near = _nearest(line, silent[line.model])
        if near is not None:
            silent[line.model].remove(near)
            billed[_key(near)] = line
            what = f"attempt {near.number} of request {near.request_id}, of which nothing came back ({near.error_class})"
            report.only_provider.append(_line(line, what))
            continue
        end = _unknown_end(line, unknown)
        if end is not None:
            unknown.remove(end)
            report.only_provider.append(_line(line, f"request {end.request_id}, which never completed (hold {end.hold_id})"))
        else:
            report.only_provider.append(_line(line, None))
    return billed


def _nearest(line: Line, attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt that began nearest to the line's time, of those that were under way then."""
    if line.at is None:
        return None
    at = line.at
    near = [each for each in attempts if each.started_at - SLACK <= at <= each.ended_at + SLACK and _within(line, each)]
    return min(near, key=lambda each: abs(each.started_at - at), default=None)


def _unknown_end(line: Line, ends: Sequence[UnknownEnd]) -> UnknownEnd | None:
    if line.at is None:
        return None
    at = line.at
    near = (each for each in ends if line.model in each.models and each.placed_at - SLACK <= at <= each.expires_at + SLACK)
    return next(near, None)


def _exposure(report: Report, ledger: LedgerSide, billed: dict[tuple[str, int], Line]) -> None:
    """Whatever a provider may bill without the ledger knowing how much."""
    for attempt in ledger.attempts:
        if attempt.unanswered:
            line = billed.get(_key(attempt))
            report.exposure.append({**_attempt(attempt), "billed_on_line": line.number if line else None})
    for end in ledger.unknown:
        report.exposure.append(
            {
                "request_id": end.request_id,
                "account": end.account,
                "channel": end.channels[0],
                "model": end.models[0],
                "started_at": said(end.placed_at),
                "error_class": f"hold {end.state.lower()}",
                "billed_on_line": None,
            }
        )


def _only_ledger(report: Report, attempts: Iterable[Attempt]) -> None:
    for attempt in attempts:
        if attempt.tokens:
            report.only_ledger.append({**_attempt(attempt), "tokens": attempt.tokens, "why": _why_not_billed(attempt)})


def _why_not_billed(attempt: Attempt) -> str | None:
    if attempt.outcome != "succeeded":
        return f"the provider bills no {attempt.error_class or attempt.outcome}"
    if attempt.source == "estimated":
        return "the reply told no usage: Tollbook counted the tokens itself"
    return None


def _compare_day(report: Report, key: tuple[date, str], lines: Sequence[Line], attempts: Sequence[Attempt]) -> None:
    day, model = key
    attempts = [attempt for attempt in attempts if attempt.tokens or not attempt.refused]
    known = [attempt for attempt in attempts if attempt.tokens or not attempt.unanswered]
    silent = len(attempts) - len(known)
    told = {"requests": _sum(lines, "requests"), "prompt_tokens": _sum(lines, "prompt"), "output_tokens": _sum(lines, "output")}
    have = {
        "requests": len(known),
        "prompt_tokens": sum(attempt.prompt for attempt in known),
        "output_tokens": sum(attempt.output for attempt in known),
    }
    if not lines:
        told = dict.fromkeys(told, 0)
    _count_day(report, lines, known)
    report.matched += bool(lines and known)
    differs = {name: {"provider": told[name], "ledger": have[name]} for name in told if told[name] not in (None, have[name])}
    if not differs:
        return
    entry = {"day": day.isoformat(), "model": model, **differs}
    if not lines:
        report.only_ledger.append({**entry, "why": None})
        return
    excess = {name: billed - have[name] for name, billed in told.items() if billed is not None}
    where = report.different if known else report.only_provider
    where.append({**entry, "why": _why_day(excess, attempts, silent)})


def _why_day(excess: Mapping[str, int], attempts: Sequence[Attempt], silent: int) -> str | None:
    """What explains a day's difference: calls that told no usage, as far as they can have come to it and no further.

    More than the ledger has is at most what those calls may be billed beyond what is recorded of them; less is at most what
    Tollbook counted for them itself.
    """
    vague = [attempt for attempt in attempts if attempt.source != "reported"]
    more = {
        "requests": silent,
        "prompt_tokens": sum(max((each.most_prompt or 0) - each.prompt, 0) for each in vague),
        "output_tokens": sum(max((each.most_output or 0) - each.output, 0) for each in vague),
    }
    less = {
        "requests": len(vague) - silent,
        "prompt_tokens": sum(each.prompt for each in vague),
        "output_tokens": sum(each.output for each in vague),
    }
    if not all(-less[name] <= excess[name] <= more[name] for name in excess):
        return None
    calls = _calls(silent, "of which nothing came back") if silent else _calls(len(vague), "that told no usage of their own")
    return f"{calls}: {more['prompt_tokens']} prompt and {more['output_tokens']} output tokens at the most"


def _calls(count: int, which: str) -> str:
    return f"{count} call{'' if count == 1 else 's'} {which}"


def _count(report: Report, line: Line, attempt: Attempt | None) -> None:
    report.tokens.add(line.tokens, attempt.tokens if attempt else 0)
    if line.cost_nano is not None and line.currency is not None:
        report.cost[line.currency].add(line.cost_nano, _worth(line, attempt))


def _worth(line: Line, attempt: Attempt | None) -> int:
    """What the ledger has of a line's cost: by its own figure, or by the tokens where a channel declares no cost."""
    if attempt is None or line.cost_nano is None:
        return 0
    if attempt.cost_nano is not None and attempt.currency == line.currency:
        return attempt.cost_nano
    if not line.tokens:
        return line.cost_nano
    return line.cost_nano * min(attempt.tokens, line.tokens) // line.tokens


def _count_day(report: Report, lines: Sequence[Line], attempts: Sequence[Attempt]) -> None:
    tokens, have = sum(line.tokens for line in lines), sum(attempt.tokens for attempt in attempts)
    report.tokens.add(tokens, have)
    costs: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.cost_nano is not None and line.currency is not None:
            costs[line.currency] += line.cost_nano
    for currency, billed in costs.items():
        own = [attempt.cost_nano for attempt in attempts if attempt.currency == currency and attempt.cost_nano is not None]
        by_tokens = billed * min(have, tokens) // tokens if tokens else 0
        report.cost[currency].add(billed, sum(own) if own else by_tokens)


def _sum(lines: Sequence[Line], name: str) -> int | None:
    values = [value for line in lines if (value := getattr(line, name)) is not None]
    return sum(values) if values else None


def _key(attempt: Attempt) -> tuple[str, int]:
    return attempt.request_id, attempt.number


def _line(line: Line, why: str | None, note: str | None = None) -> dict[str, Any]:
    entry = {
        "line": line.number,
        "ids": list(line.ids),
        "at": said(line.at) if line.at else line.day.isoformat(),
        "model": line.model,
        "tokens": line.tokens,
        "cost_nano": line.cost_nano,
        "currency": line.currency,
        "why": why,
    }
    return entry if note is None else {**entry, "note": note}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "request_id": attempt.request_id,
        "attempt": attempt.number,
        "account": attempt.account,
        "channel": attempt.channel,
        "model": attempt.model,
        "started_at": said(attempt.started_at),
        "error_class": attempt.error_class,
    }
