"""The account of a run as a person reads it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.money import format_amount
from schemas.plain_text import shown
from services.edge.wording import RULE, counted, tokens_said

Row = Mapping[str, Any]
ENDED = {"closed_by_client": "closed by its key", "deadline": "its deadline was over"}
GROUPS = (
    ("BY MODEL", "by_model", ("model", "route_type", "bucket")),
    ("BY ROUTE", "by_route", ("route_type", "bucket")),
    ("BY BUCKET", "by_bucket", ("bucket",)),
)


def render_run(run: Row) -> str:
    """The run as text, one section under the other. Sections that it lacks are left out."""
    totals: Row = run.get("totals") or {}
    sections = [
        _heading(run),
        _who(run),
        _budgets(run.get("budgets") or []),
        _requests(totals),
        *[_group(title, totals.get(field) or [], names) for title, field, names in GROUPS],
        _failures(run.get("failures") or {}),
        _timeline(run.get("timeline") or {}),
        _listed("WHY", run.get("explanation") or []),
        _listed("NOTE", run.get("warnings") or []),
    ]
    return "\n".join(shown(line) for section in sections for line in section) + "\n"


def _heading(run: Row) -> list[str]:
    return [RULE, f"RUN  {run.get('id')}   {str(run.get('state', '')).upper()}", RULE]


def _who(run: Row) -> list[str]:
    tags = ", ".join(f"{name}={value}" for name, value in (run.get("tags") or {}).items())
    ended = ENDED.get(run.get("close_reason") or "", "")
    lines = [
        ("label", run.get("label")),
        ("key", f"{run.get('key_name') or ''} ({run.get('key_id')})".strip()),
        ("project", run.get("project_id")),
        ("account", run.get("account_id")),
        ("environment", run.get("environment")),
        ("tags", tags),
        ("rules", _rules(run.get("rules") or {})),
        ("money", "set aside in its buckets" if run.get("reserve") else "a limit only, nothing is set aside"),
        ("opened at", run.get("opened_at")),
        ("deadline", run.get("deadline_at")),
        ("closing at", run.get("closing_at")),
        ("closed at", f"{run['closed_at']}{f' ({ended})' if ended else ''}" if run.get("closed_at") else None),
    ]
    return [f"{name:<12} {value}" for name, value in lines if value]


def _rules(rules: Row) -> str:
    lists = [("models", "models"), ("route_types", "routes")]
    said = [f"{word} {', '.join(rules[name])}" for name, word in lists if rules.get(name) is not None]
    flags = {
        "fallback": ("may fall back", "no fallback"),
        "cross_bucket": ("may cross buckets", "never crosses buckets"),
    }
    said += [words[0 if rules[name] else 1] for name, words in flags.items() if rules.get(name) is not None]
    if rules.get("max_attempts") is not None:
        said.append(f"{counted(rules['max_attempts'], 'attempt')} at most")
    return "; ".join(said) or "those of its key"


def _budgets(budgets: Sequence[Row]) -> list[str]:
    lines = []
    for each in budgets:
        figures = [f"{name} {each[name]}" for name in ("spent", "held", "left")]
        if each.get("returned_nano"):
            figures.append(f"returned {each['returned']}")
        if each.get("overrun_nano"):
            figures.append(f"above its holds {each['overrun']}")
        lines.append(f"  {each['bucket']:<12} {each['budget']} {each['currency']}: {', '.join(figures)}")
    return ["", "BUDGET", *lines] if lines else []


def _requests(totals: Row) -> list[str]:
    if not totals:
        return []
    ends = [
        (name, word)
        for name, word in (
            ("answered", "answered"),
            ("failed", "failed"),
            ("refused", "refused"),
            ("expired", "ended by time"),
            ("pending", "under way"),
        )
        if totals.get(name)
    ]
    said = ", ".join(f"{totals[name]} {word}" for name, word in ends)
    crossed = totals.get("crossed_buckets")
    return [
        "",
        f"REQUESTS     {totals.get('requests', 0)}{f': {said}' if said else ''}",
        f"  {counted(totals.get('attempts', 0), 'upstream call')}, {counted(totals.get('retries', 0), 'retry', 'retries')}, "
        f"{counted(totals.get('fallbacks', 0), 'fallback')}{f' ({crossed} into another bucket)' if crossed else ''}",
        f"  {tokens_said(totals.get('tokens') or {})}",
    ]


def _group(title: str, rows: Sequence[Row], names: Iterable[str]) -> list[str]:
    """One line for each row: what it is, what was asked of it, what it cost."""
    labels = [" · ".join(str(row[name]) for name in names if row.get(name)) or "-" for row in rows]
    width = max(map(len, labels), default=0)
    lines = [
        f"  {label:<{width}}  {row['charge']} {row['currency']}  {counted(row['requests'], 'request')}, "
        f"{counted(row['attempts'], 'call')}, {tokens_said(row.get('tokens') or {})}"
        for label, row in zip(labels, rows, strict=True)
    ]
    return ["", title, *lines] if lines else []


def _failures(failures: Row) -> list[str]:
    if not failures.get("attempts"):
        return []
    reasons = ", ".join(f"{each['reason']} {each['attempts']}" for each in failures.get("by_reason") or [])
    lines = [f"  {counted(failures['attempts'], 'upstream call')} failed: {reasons}"]
    lines.append(f"  burned {tokens_said(failures.get('tokens') or {})}")
    for name, words in (("would_have_cost", "would have cost"), ("charged", "charged for what had been streamed")):
        amounts = [f"{each['amount']} {each['currency']}" for each in failures.get(name) or [] if each.get("amount_nano")]
        lines += [f"  {words}: {' and '.join(amounts)}"] if amounts else []
    return ["", "FAILURES", *lines]


def _timeline(timeline: Row) -> list[str]:
    lines = [f"  {entry['at']}  {entry['kind']:<9} {_entry(entry)}".rstrip() for entry in timeline.get("data") or []]
    if timeline.get("next_after") is not None:
        lines.append(f"  … and more: ask again with after={timeline['next_after']}")
    return ["", "TIMELINE", *lines] if lines else []


def _entry(entry: Row) -> str:
    if entry["kind"] == "refused":
        return f"{entry.get('code')}: {entry.get('message')}  [{entry.get('request_id')}]"
    if entry["kind"] == "request":
        return f"{_asked(entry)}  [{entry.get('request_id')}]"
    budgets = [
        f"{format_amount(each['amount_nano'])} {each['currency']} of {each['bucket']}" for each in entry.get("budgets") or []
    ]
    until = f"until {entry['deadline_at']}" if entry.get("deadline_at") else ""
    return ", ".join(part for part in (" and ".join(budgets), until) if part)


def _asked(entry: Row) -> str:
    asked, answered = entry.get("requested_model"), entry.get("answered_model")
    models = f"{asked} → {answered}" if answered and answered != asked else str(asked or "")
    charge = f"{entry['charge']} {entry['currency']}" if entry.get("charge_nano") else ""
    retries = counted(entry["retries"], "retry", "retries") if entry.get("retries") else ""
    fallbacks = f"fell back: {', '.join(entry['fallbacks'])}" if entry.get("fallbacks") else ""
    return ", ".join(part for part in (models, str(entry.get("status", "")), charge, retries, fallbacks) if part)


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", title, *(f"  • {sentence}" for sentence in sentences)] if sentences else []
