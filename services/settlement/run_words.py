"""A run in sentences: what it was given, what it did, what it cost, what came back. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from schemas.money import format_amount

Row = dict[str, Any]


def explain_run(run: Row, totals: Row, failures: Row, changes: Sequence[Row] = ()) -> list[str]:
    """The sentences, in the order in which a reader asks. `changes`: what the run was opened with and extended by."""
    return [*_given(run, changes), *_did(totals), *_cost(run), *_burned(failures), *_ended(run)]


def _given(run: Row, changes: Sequence[Row]) -> Iterable[str]:
    how = "set aside" if run["reserve"] else "allowed as a limit"
    opening = _amounts(change for change in changes if change["kind"] == "opened")
    extensions = [change for change in changes if change["kind"] == "extended"]
    whole = ", ".join(f"{each['budget']} {each['currency']} of bucket {each['bucket']}" for each in run["budgets"])
    label = f" ({run['label']})" if run["label"] else ""
    key = run["key_name"] or run["key_id"]
    yield f"Run {run['id']}{label} was opened by key {key} at {run['opened_at']} with {opening or whole} {how}."
    if extensions:
        added = _amounts(extensions)
        more = f", by {added} in all, to {whole}" if added else " in time alone"
        yield f"It was extended {_plural(len(extensions), 'time')}{more}."


def _amounts(changes: Iterable[Row]) -> str:
    """The budgets of some changes, summed by bucket."""
    sums: dict[tuple[str, str], int] = {}
    for each in (budget for change in changes for budget in change.get("budgets") or ()):
        place = each["currency"], each["bucket"]
        sums[place] = sums.get(place, 0) + each["amount_nano"]
    return ", ".join(f"{format_amount(nano)} {currency} of bucket {bucket}" for (currency, bucket), nano in sums.items())


def _did(totals: Row) -> Iterable[str]:
    if not totals["requests"]:
        yield "No request has joined it."
        return
    parts = [
        _counted(totals[name], word)
        for name, word in (
            ("answered", "answered"),
            ("failed", "failed"),
            ("refused", "refused"),
            ("expired", "ended by time"),
            ("pending", "under way"),
        )
        if totals[name]
    ]
    joined = f"{_plural(totals['requests'], 'request')} joined it ({', '.join(parts)})"
    calls = [
        _plural(totals["attempts"], "upstream call"),
        _plural(totals["retries"], "retry", "retries"),
        _plural(totals["fallbacks"], "fallback"),
    ]
    yield f"{joined}: {', '.join(calls)}."
    if totals["crossed_buckets"]:
        yield f"{_plural(totals['crossed_buckets'], 'fallback')} moved to another bucket, as the run or its key permits."


def _cost(run: Row) -> Iterable[str]:
    for each in run["budgets"]:
        currency = each["currency"]
        yield (
            f"Bucket {each['bucket']} paid {each['spent']} {currency} of {each['budget']} {currency}; "
            f"{format_amount(each['held_nano'])} {currency} is held, {each['left']} {currency} is left."
        )


def _burned(failures: Row) -> Iterable[str]:
    if not failures["attempts"]:
        return
    tokens = sum(failures["tokens"][name] for name in failures["tokens"] if name != "reasoning_tokens")
    wasted = " and ".join(f"{each['amount']} {each['currency']}" for each in failures["would_have_cost"] if each["amount_nano"])
    worth = f", worth {wasted}, which nobody is charged for" if wasted else ""
    yield f"{_plural(failures['attempts'], 'upstream call')} failed and burned {tokens} tokens{worth}."
    paid = " and ".join(f"{each['amount']} {each['currency']}" for each in failures["charged"] if each["amount_nano"])
    if paid:
        yield f"For what was streamed before a stream broke, {paid} was charged."


def _ended(run: Row) -> Iterable[str]:
    if run["state"] == "closing":
        yield "It takes no more requests and closes with its last open hold."
    elif run["state"] == "closed":
        why = {"deadline": "its deadline was over", "closed_by_client": "it was closed"}.get(run["close_reason"], "it ended")
        back = [
            f"{each['returned']} {each['currency']} to bucket {each['bucket']}"
            for each in run["budgets"]
            if each["returned_nano"]
        ]
        given = f"; {', '.join(back)} went back" if back else ""
        yield f"It ended at {run['closed_at']} because {why}{given}. This account is final."
    else:
        yield f"It is open until {run['deadline_at']}."


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}"
