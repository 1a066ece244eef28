"""What the ledger has of a provider: attempts, and holds of requests that never completed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from services.console.errors import ConsoleError
from services.console.reconcile.invoice import plain_model
from services.console.service_client import ServiceClient

MOST_UNKNOWN = 10_000
TOLD_EVERY = 500
REFUSALS = range(400, 500)
REQUEST_TIMEOUT = 408
"""The one refusal that comes after a provider has waited, and may have worked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream call as its request's completion tells it. Tokens of the prompt include cached ones."""

    request_id: str
    number: int
    account: str
    channel: str
    model: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    error_class: str | None
    prompt: int
    output: int
    source: str
    cost_nano: int | None
    currency: str | None
    upstream_id: str | None
    http_status: int | None = None
    most_prompt: int | None = None
    most_output: int | None = None
    """The most that the provider may bill where it never said what it counted; None where it did, or no bound is recorded."""

    @property
    def tokens(self) -> int:
        """All of its tokens."""
        return self.prompt + self.output

    @property
    def unanswered(self) -> bool:
        """Whether it was made and nothing of a reply came: what the provider did with it, only the provider knows.

        A refusal is an answer, with or without an id: the provider did no work, and bills none.
        """
        return self.upstream_id is None and self.outcome != "succeeded" and not self.refused

    @property
    def refused(self) -> bool:
        """Whether the provider answered that it would not do it."""
        return self.http_status in REFUSALS and self.http_status != REQUEST_TIMEOUT

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The attempt in a row of `GET /admin/attempts`."""
        started = datetime.fromisoformat(row["started_at"])
        usage, most = row["usage"], row.get("exposure")
        return cls(
            request_id=row["request_id"],
            number=row["attempt"],
            account=row["account_id"],
            channel=row["channel"],
            model=plain_model(row["upstream_model"]),
            started_at=started,
            ended_at=started + timedelta(milliseconds=row["latency_ms"]),
            outcome=row["outcome"],
            error_class=row["error_class"],
            prompt=_prompt(usage),
            output=usage["output_tokens"],
            source=row["usage_source"],
            cost_nano=row["operator_cost_nano"],
            currency=row["operator_cost_currency"],
            upstream_id=row["upstream_id"],
            http_status=row["http_status"],
            most_prompt=_prompt(most) if most else None,
            most_output=most["output_tokens"] if most else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEnd:
    """A hold whose request never completed: one of its candidates may have been asked, and may bill for it."""

    hold_id: str
    request_id: str
    account: str
    channels: tuple[str, ...]
    models: tuple[str, ...]
    placed_at: datetime
    expires_at: datetime
    state: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The hold in a row of `GET /admin/unknown-ends`."""
        return cls(
            hold_id=row["id"],
            request_id=row["request_id"],
            account=row["holder"],
            channels=tuple(candidate[0] for candidate in row["candidates"]),
            models=tuple(plain_model(candidate[2]) for candidate in row["candidates"]),
            placed_at=datetime.fromisoformat(row["placed_at"]),
            expires_at=datetime.fromisoformat(row["expires_at"]),
            state=row["state"],
        )


@dataclass(frozen=True)
class LedgerSide:
    """Everything between two instants."""

    attempts: list[Attempt]
    unknown: list[UnknownEnd]
    brands: frozenset[str] = frozenset()
    """Every provider that was asked in the period, whatever was chosen."""


def read_ledger(
    settlement: ServiceClient,
    since: datetime,
    until: datetime,
    *,
    channels: Sequence[str],
    brand: str,
    news: Callable[[str], None] = lambda _: None,
) -> LedgerSide:
    """What the ledger has of the channels or, without any, of the provider's brand. `news` is told of every page."""
    rows: list[Mapping[str, Any]] = []
    for row in _pages(settlement, since, until, channels):
        rows.append(row)
        if len(rows) % TOLD_EVERY == 0:
            news(f"{len(rows)} attempts of the ledger read")
    chosen = [row for row in rows if channels or row["brand"] == brand]
    named = set(channels) or {row["channel"] for row in chosen}
    bounds = {"since": since.isoformat(), "until": until.isoformat()}
    ends = [UnknownEnd.of(row) for row in settlement.get("/admin/unknown-ends", limit=MOST_UNKNOWN, **bounds)["data"]]
    if len(ends) == MOST_UNKNOWN:
        raise ConsoleError(f"{MOST_UNKNOWN} requests or more never completed: give a shorter period by --since and --until")
    unknown = [end for end in ends if not named or named & set(end.channels)]
    return LedgerSide([Attempt.of(row) for row in chosen], unknown, frozenset(row["brand"] for row in rows))


def _prompt(usage: Mapping[str, int]) -> int:
    return usage["input_tokens"] + usage["cached_input_tokens"] + usage["cache_write_tokens"]


def _pages(settlement: ServiceClient, since: datetime, until: datetime, channels: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    after: str | None = None
    while True:
        page = settlement.get(
            "/admin/attempts", since=since.isoformat(), until=until.isoformat(), channel=list(channels), after=after
        )
        yield from page["data"]
        after = page["next"]
        if after is None:
            return
