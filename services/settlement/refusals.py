"""Why a hold was refused, in words. Pure: the same facts always give the same reply, whenever it is asked for again."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.money import format_amount

HTTP_STATUS = {
    "insufficient_balance": 402,
    "budget_exceeded": 402,
    "key_frozen": 403,
    "project_frozen": 403,
    "account_frozen": 403,
    "no_price": 503,
    "run_not_found": 404,
    "run_not_allowed": 403,
    "run_closed": 409,
}
RUN_MESSAGES = {
    "run_not_found": "there is no run {}: open one, or leave the run out",
    "run_not_allowed": "the run {} belongs to another API key: open one with this key, or leave the run out",
    "run_closed": "the run {} takes no more requests: it was closed, or its deadline is over; open another",
}
CLOCKED = frozenset({"day", "month"})


class Stop(NamedTuple):
    """What is frozen: the refusal code, and the rule, the alert and the numbers where a rule of alerts froze it."""

    code: str
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The facts of one refusal. `kind`, `entity`, `window` name the envelope; a bucket has no window.

    `held_nano` is what open holds occupied of what stopped it; `passing`: it would have passed if all of them had ended.
    `why` is the rule, the alert and the numbers where a rule of alerts froze it.
    """

    code: str
    bucket: str | None
    currency: str | None
    kind: str | None = None
    entity: str | None = None
    window: str | None = None
    needed_nano: int | None = None
    left_nano: int | None = None
    resets_at: str | None = None
    held_nano: int | None = None
    passing: bool = False
    why: str | None = None

    @property
    def http_status(self) -> int:
        """402 for what money or a decision lifts, 429 for what a clock lifts, 403 for frozen, 503 for a missing price."""
        if self.code == "budget_exceeded" and self.window in CLOCKED:
            return 429
        return HTTP_STATUS[self.code]

    @property
    def envelope(self) -> dict[str, str | None] | None:
        """The envelope that stopped the hold, as an EnvelopeRef."""
        if self.kind is not None and self.entity is not None:
            return {"kind": self.kind, "id": self.named, "window": self.window}
        if self.code == "insufficient_balance" and self.bucket is not None:
            return {"kind": "bucket", "id": self.bucket, "window": None}
        return None

    @property
    def named(self) -> str | None:
        """The envelope's id as its owner knows it: a run counts each of its buckets apart, under `run/bucket`."""
        return self.entity.partition("/")[0] if self.kind == "run" and self.entity else self.entity

    @property
    def message(self) -> str:
        """One sentence that names the envelope, what was needed and what was left."""
        if self.code == "no_price":
            return "no price is published for any candidate of this request: the operator must publish one"
        if self.code.endswith("_frozen"):
            return self._frozen()
        return RUN_MESSAGES[self.code].format(self.named) if self.code in RUN_MESSAGES else self._short_of()

    def _short_of(self) -> str:
        needed = f"{format_amount(self.needed_nano or 0)} {self.currency} needed"
        if self.left_nano is None:
            too_much = f"the bucket {self.bucket} cannot pay this request: {needed}, more than any one request may hold"
            return f"{too_much}; lower max_tokens, or send less"
        figures = f"{needed}, {format_amount(self.left_nano)} {self.currency} left"
        if self.held_nano:
            figures += f", {format_amount(self.held_nano)} {self.currency} is held by requests that are still running"
        again = "try again when they have ended, " if self.passing else ""
        if self.code == "insufficient_balance":
            advice = f"{again}top it up, or lower max_tokens"
            return f"the bucket {self.bucket} cannot pay this request: {figures}; {advice}"
        if self.kind == "run":
            reached = f"the budget of run {self.named} in bucket {self.bucket} is reached"
            return f"{reached}: {figures}; {again and f'{again}or '}extend the run to go on"
        reached = f"the {self.window} limit of {self.kind} {self.entity} is reached"
        if self.passing:
            return f"{reached}: {figures}; {again.removesuffix(', ')}"
        return f"{reached}: {figures}" + (f"; it resets at {self.resets_at}" if self.resets_at else "")

    def _frozen(self) -> str:
        by = f" by an alert ({self.why})" if self.why else ""
        what = f"the {self.code.removesuffix('_frozen')} {self.entity} is frozen{by}: nothing new is paid for it"
        return f"{what}; an owner of the account can unfreeze it, or an operator if an operator froze it"

    def as_result(self, hold_id: str) -> dict[str, Any]:
        """The refusal as a `HoldRefusal` on the wire."""
        return {
            "status": "refused",
            "hold_id": hold_id,
            "http_status": self.http_status,
            "code": self.code,
            "message": self.message,
            "envelope": self.envelope,
            "bucket": self.bucket,
            "currency": self.currency,
            "needed_nano": self.needed_nano,
            "left_nano": self.left_nano,
            "resets_at": self.resets_at,
            "held_nano": self.held_nano,
            "passing": self.passing,
        }


def stored(refusal: dict[str, Any], bucket: str, currency: str, why: str | None = None) -> Refusal:
    """The refusal that a hold's row keeps. An empty bucket or currency means that none was known; older rows keep no holds.

    `why` is which alert froze what it names, as the row's detail keeps it.
    """
    return Refusal(
        code=refusal["code"],
        bucket=bucket or None,
        currency=currency or None,
        kind=refusal["kind"],
        entity=refusal["entity"],
        window=refusal["window"],
        needed_nano=refusal["needed_nano"],
        left_nano=refusal["left_nano"],
        resets_at=utc_text(refusal["resets_at"]),
        held_nano=refusal.get("held_nano"),
        passing=refusal.get("passing") or False,
        why=why,
    )


def utc_text(value: datetime | str | None) -> str | None:
    """An instant as RFC 3339 in UTC, ending in Z."""
    if value is None:
        return None
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
