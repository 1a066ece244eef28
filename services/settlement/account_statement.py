"""A statement: what moved a bucket in one month, line by line, from its opening to its closing balance. Pure.

The balances come from the chain of moves, the lines from the postings: a statement is issued only if they agree to the unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from schemas.money import format_amount
from services.settlement.errors import ApiError, InvalidError

Row = Mapping[str, Any]
KINDS = {
    "topup": "top_up",
    "promotion": "promotion",
    "capture": "charge",
    "expire": "charge_of_lost_request",
    "refund": "refund",
    "adjustment": "adjustment",
    "chargeback": "chargeback",
    "reinstatement": "reinstatement",
    "credit_expiry": "credit_expired",
    "run_open": "run_earmark",
    "run_extend": "run_earmark",
    "run_close": "run_return",
}
DEBT = "debt_repaid"
"""What came in and paid what was owed: a line of its own beside the full amount."""


class StatementError(ApiError):
    """The statement does not add up: it is not issued, and somebody looks at the ledger."""

    code = "statement_does_not_add_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One movement; charges are summed by day, project, key and model. `nano` is below zero where the bucket paid.

    `owed_nano` is what of the charges the bucket could not pay.
    """

    day: date
    kind: str
    nano: int
    text: str = ""
    reference: str = ""
    project_id: str = ""
    key_id: str = ""
    model: str = ""
    route_type: str = ""
    run_id: str = ""
    requests: int = 0
    owed_nano: int = 0
    key_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One bucket. `in_runs` says what the reserves of runs paid: it is no part of the sum, earmarks are."""

    bucket: str
    currency: str
    opening_nano: int
    closing_nano: int
    lines: Sequence[Line]
    in_runs: Sequence[Line] = ()

    @property
    def totals(self) -> dict[str, int]:
        """The movement by kind, in the order of the kinds."""
        found = dict.fromkeys((*KINDS.values(), DEBT), 0)
        for line in self.lines:
            found[line.kind] = found.get(line.kind, 0) + line.nano
        return {kind: nano for kind, nano in found.items() if nano}

    def require_sound(self) -> None:
        """Raise StatementError unless opening + movements = closing."""
        moved = sum(line.nano for line in self.lines)
        if self.opening_nano + moved != self.closing_nano:
            raise StatementError(
                f"bucket {self.bucket}: {format_amount(self.opening_nano)} + {format_amount(moved)} is not"
                f" {format_amount(self.closing_nano)} {self.currency}: the statement is not issued, check the ledger"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A month in UTC; `complete` once it is over."""

    name: str
    start: datetime
    end: datetime
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Every bucket of an account, or one."""

    account_id: str
    period: Period
    generated_at: datetime
    sections: Sequence[Section]


def period(name: str, now: datetime) -> Period:
    """The month that YYYY-MM names. Raises InvalidError for another form, and for a month that is to come."""
    parts = name.split("-")
    if len(name) != 7 or len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidError("write the month as YYYY-MM, such as 2026-03", code="invalid_month", param="month")
    year, month = int(parts[0]), int(parts[1])
    if not (2000 <= year <= 9998 and 1 <= month <= 12):
        raise InvalidError("there is no such month", code="invalid_month", param="month")
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    if start > now:
        raise InvalidError("the month has not begun", code="invalid_month", param="month")
    return Period(name=name, start=start, end=end, complete=end <= now)


def charge_lines(rows: Iterable[Row]) -> list[Line]:
    """Charges as they were summed; `paid` is what left the bucket."""
    return [
        Line(
            day=row["day"],
            kind=KINDS[row["kind"]],
            nano=-row["paid"],
            project_id=row["project_id"] or "",
            key_id=row["key_id"] or "",
            model=row["model"] or "",
            route_type=row["route_type"] or "",
            run_id=row.get("run") or "",
            requests=row["requests"],
            owed_nano=row["charged"] - row["paid"],
            key_name=row.get("key_name") or "",
        )
        for row in rows
    ]


def other_lines(rows: Iterable[Row]) -> list[Line]:
    """Every other transaction as a line; one that also paid a debt as two."""
    lines: list[Line] = []
    for row in rows:
        kind, detail = KINDS.get(row["kind"], str(row["kind"])), row["detail"]
        named: dict[str, Any] = {"day": row["at"].date(), "run_id": detail.get("run_id") or ""}
        named["reference"] = _reference(row)
        taking = row["kind"] in {"chargeback", "credit_expiry", "run_open", "run_extend"} or not row["credit"]
        main = row["credit"] - row["debit"] if taking else row["credit"]
        owed = detail.get("owed_nano") or 0
        lines.append(Line(kind=kind, nano=main, text=_text(row), owed_nano=owed, **named))
        if not taking and row["debit"]:
            lines.append(Line(kind=DEBT, nano=-row["debit"], text="paid what was owed", **named))
    return lines


def _reference(row: Row) -> str:
    detail = row["detail"]
    if row["kind"] == "topup":
        return str(row["idem_key"].partition(":")[2])
    if row["kind"] in {"chargeback", "reinstatement"}:
        return str(detail.get("dispute_id", ""))
    return str(detail.get("request_id") or detail.get("promotion_id") or detail.get("run_id") or "")


def _text(row: Row) -> str:
    detail = row["detail"]
    if row["kind"] == "topup":
        return "payment"
    if row["kind"] == "promotion":
        return f"{detail.get('reason', '')} (expires {detail.get('expires_at', '')})"
    if row["kind"] == "run_close":
        return _spent(row)
    return str(detail.get("reason") or "")


def _spent(row: Row) -> str:
    """What the run used of its budget: all that did not come back, and what the bucket paid beyond it."""
    budget = row["budget_nano"]
    beyond = 0 if row["credit"] else row["debit"]
    return f"{format_amount(budget - row['credit'] + beyond)} of {format_amount(budget)} spent"


def as_json(statement: Statement) -> dict[str, Any]:
    """The statement as JSON says it: every amount in nano and as text."""
    period = statement.period
    return {
        "object": "statement",
        "account_id": statement.account_id,
        "month": period.name,
        "from": _instant(period.start),
        "until": _instant(period.end),
        "complete": period.complete,
        "generated_at": _instant(statement.generated_at),
        "buckets": [_section(section) for section in statement.sections],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "bucket": section.bucket,
        "currency": section.currency,
        "opening_nano": section.opening_nano,
        "opening": format_amount(section.opening_nano),
        "totals": [{"kind": kind, "amount_nano": nano, "amount": format_amount(nano)} for kind, nano in section.totals.items()],
        "lines": [_line(line) for line in section.lines],
        "in_runs": [_line(line) for line in section.in_runs],
        "closing_nano": section.closing_nano,
        "closing": format_amount(section.closing_nano),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "date": line.day.isoformat(),
        "kind": line.kind,
        "amount_nano": line.nano,
        "amount": format_amount(line.nano),
        "text": line.text,
        "reference": line.reference,
        "project_id": line.project_id,
        "key_id": line.key_id,
        "key_name": line.key_name,
        "model": line.model,
        "route_type": line.route_type,
        "run_id": line.run_id,
        "requests": line.requests,
        "owed_nano": line.owed_nano,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
