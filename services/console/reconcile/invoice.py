"""A provider's invoice: what its columns are called, and lines as values. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

NANO = 10**9
MOST_NANO = 2**63 - 1
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_SECONDS = re.compile(r"\d{9,11}(\.\d+)?")


class BadRowError(ValueError):
    """A row that means nothing: the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How a provider's export names things; the first name that the file has counts, in any case.

    `input_parts` are columns whose tokens add up to the prompt where the export has no column for all of it (`prompt`).
    """

    ids: Sequence[str] = ()
    at: Sequence[str] = ()
    day: Sequence[str] = ()
    model: Sequence[str] = ()
    requests: Sequence[str] = ()
    prompt: Sequence[str] = ()
    input_parts: Sequence[str] = ()
    output: Sequence[str] = ()
    cost: Sequence[str] = ()
    currency: Sequence[str] = ()
    default_currency: str | None = None


GENERIC = Columns(
    ids=("id", "response_id", "request_id", "upstream_id"),
    at=("created_at", "time", "timestamp", "started_at"),
    day=("date", "day", "usage_date"),
    model=("model", "model_name"),
    requests=("requests", "count"),
    prompt=("prompt_tokens", "input_tokens"),
    output=("completion_tokens", "output_tokens"),
    cost=("cost", "amount", "total"),
    currency=("currency",),
)


def _own(**names: Sequence[str]) -> Columns:
    """A provider's own names, before those that any export may use. Costs are in dollars where it says no currency."""
    either: Any = {name: tuple(dict.fromkeys((*own, *getattr(GENERIC, name)))) for name, own in names.items()}
    return replace(GENERIC, **either, default_currency="USD")


FORMATS: Mapping[str, Columns] = {
    "openai": _own(
        at=("start_time_iso", "start_time"),
        model=("model", "snapshot_id", "line_item"),
        requests=("num_model_requests", "n_requests"),
        prompt=("input_tokens", "n_context_tokens_total"),
        output=("output_tokens", "n_generated_tokens_total"),
        cost=("amount_value", "cost", "cost_in_major"),
        currency=("amount_currency",),
    ),
    "anthropic": _own(
        day=("usage_date_utc",),
        model=("model_version",),
        input_parts=(
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        output=("usage_output_tokens",),
        cost=("cost_usd",),
    ),
    "generic": GENERIC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: a request (with the provider's ids) or the sum of a day and model. Tokens of the prompt include cached ones."""

    number: int
    ids: tuple[str, ...]
    day: date
    at: datetime | None
    model: str
    requests: int | None
    prompt: int | None
    output: int | None
    cost_nano: int | None
    currency: str | None

    @property
    def tokens(self) -> int:
        """All tokens that the line names."""
        return (self.prompt or 0) + (self.output or 0)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads rows of one file."""

    columns: Columns
    header: Sequence[str]
    _place: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_place", {name.strip().lower(): name for name in self.header})

    @property
    def missing(self) -> list[str]:
        """What the file must say and does not."""
        lacks = [] if self._find(self.columns.model) else [f"the model ({' or '.join(self.columns.model)})"]
        when = (*self.columns.at, *self.columns.day)
        if not self._find(when):
            lacks.append(f"the time or day ({' or '.join(when)})")
        amounts = (*self.columns.prompt, *self.columns.input_parts, *self.columns.output, *self.columns.cost)
        if not self._find(amounts):
            lacks.append(f"tokens or a cost ({' or '.join(amounts)})")
        return lacks

    @property
    def has_ids(self) -> bool:
        """Whether its lines name single replies."""
        return self._find(self.columns.ids) is not None

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns that were not read, as the file spells them."""
        columns = self.columns
        one_of = (columns.at, columns.day, columns.model, columns.requests, columns.output, columns.cost, columns.currency)
        used = {self._find(names) for names in one_of} | {self._place.get(name) for name in columns.ids}
        if self._find(columns.prompt):
            used.add(self._find(columns.prompt))
        else:
            used.update(self._place.get(name) for name in columns.input_parts)
        return tuple(name for name in self.header if name not in used)

    def line(self, number: int, row: Mapping[str, str | None]) -> Line:
        """The row's line. Raises BadRowError."""
        columns = self.columns
        at = instant(self._text(row, columns.at))
        day = at.date() if at else _day(self._text(row, columns.day))
        model = self._text(row, columns.model)
        if not model:
            raise BadRowError("it names no model")
        cost = _nano(self._text(row, columns.cost))
        currency = self._text(row, columns.currency) or columns.default_currency
        if cost is not None and not currency:
            raise BadRowError("its cost has no currency: give --currency")
        return Line(
            number=number,
            ids=self._ids(row),
            day=day,
            at=at,
            model=plain_model(model),
            requests=_count(self._text(row, columns.requests)),
            prompt=self._prompt(row),
            output=_count(self._text(row, columns.output)),
            cost_nano=cost,
            currency=currency.upper() if currency and cost is not None else None,
        )

    def _ids(self, row: Mapping[str, str | None]) -> tuple[str, ...]:
        values = [(row.get(self._place[name]) or "").strip() for name in self.columns.ids if name in self._place]
        return tuple(dict.fromkeys(value for value in values if value))

    def _prompt(self, row: Mapping[str, str | None]) -> int | None:
        if self._find(self.columns.prompt):
            return _count(self._text(row, self.columns.prompt))
        parts = [_count(self._text(row, (name,))) for name in self.columns.input_parts if name in self._place]
        return sum(part or 0 for part in parts) if parts else None

    def _find(self, names: Sequence[str]) -> str | None:
        return next((self._place[name] for name in names if name in self._place), None)

    def _text(self, row: Mapping[str, str | None], names: Sequence[str]) -> str:
        found = self._find(names)
        return (row.get(found) or "").strip() if found else ""


def plain_model(model: str) -> str:
    """The model without the date of its snapshot: `gpt-4o-2024-08-06` is billed for what was asked as `gpt-4o`."""
    return _DATED.sub("", model)


def instant(text: str) -> datetime | None:
    """An instant from RFC 3339 text or Unix seconds; None for no text. Raises BadRowError."""
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadRowError(f"{text!r} is no time") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def said(at: datetime) -> str:
    """An instant in UTC as all of Tollbook writes it, ending in Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _day(text: str) -> date:
    found = instant(text)
    if found is None:
        raise BadRowError("it has neither a time nor a day")
    return found.date()


def _count(text: str) -> int | None:
    if not text:
        return None
    digits = text.replace(",", "").removesuffix(".0")
    if not digits.isdecimal() or len(digits) > 15:
        raise BadRowError(f"{text!r} is no number of tokens or requests")
    return int(digits)


def _nano(text: str) -> int | None:
    """Nano of a decimal amount; places beyond a nano, which some providers print, are cut off. Raises BadRowError."""
    if not text:
        return None
    try:
        value = Decimal(text.replace(",", "").lstrip("$"))
    except InvalidOperation:
        raise BadRowError(f"{text!r} is no amount of money") from None
    if not value.is_finite() or value.is_signed() or value * NANO > MOST_NANO:
        raise BadRowError(f"{text!r} is no amount of money that could be billed")
    return int(value * NANO)
