"""The rule file of alerts: what an operator writes, an editor checks and analytics judges by.

A rule watches one signal of every subject: each key, each channel, each model, each route, each account. Its threshold is the
largest of `floor`, `factor` times what the subject usually does at that hour, and that plus `spread` times how far it usually
strays; and a subject never fires below `peak_factor` times what it has done in its busiest hours before.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from schemas.alert_receivers import ReceiverName, Receivers
from schemas.envelope import Identifier
from schemas.money import NANO_PER_UNIT

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"([0-9]{1,6})([smhd])")
LONGEST_S = 7 * 86_400
MOST_RULES = 64
MOST_OVERRIDES = 256
TAG = re.compile(r"[^=\s]{1,64}=.{1,256}")
AMOUNT_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
SIGNALS = (
    "tokens_per_minute_by_key",
    "error_rate_by_channel",
    "fallback_frequency",
    "spend_by_route",
    "mix_change",
    "failed_with_tokens",
)


def duration_s(value: object) -> object:
    """Seconds of a duration such as 90s, 5m, 1h; what is none is left for pydantic to refuse."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"a duration has a unit: write {value}s")  # noqa: TRY004 - pydantic reads ValueError
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a duration is a whole number and a unit, such as 90s, 5m, 1h or 1d")
    seconds = int(found[1]) * UNITS_S[found[2]]
    if seconds > LONGEST_S:
        raise ValueError("a duration is seven days at most")
    return seconds


def _tag(text: str) -> str:
    if TAG.fullmatch(text) is None:
        raise ValueError("a tag is written as name=value")
    return text


def amount_nano(text: str) -> int:
    """Nano units of an amount such as 12.50. Raises ValueError."""
    try:
        return int(Decimal(text) * NANO_PER_UNIT)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount") from None


def _amount(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'an amount is a string, so that no digit is lost: write "{value}"')  # noqa: TRY004 - pydantic reads ValueError
    return value


def _between(least_s: int, most_s: int) -> Callable[[int], int]:
    def bounded(seconds: int) -> int:
        if not least_s <= seconds <= most_s:
            raise ValueError(f"this duration is between {least_s}s and {most_s}s")
        return seconds

    return bounded


IN_WORDS = WithJsonSchema({"type": "string", "pattern": f"^{DURATION.pattern}$", "examples": ["90s", "5m", "1h"]})
SHOWN = PlainSerializer(lambda seconds: f"{seconds}s", return_type=str, when_used="json-unless-none")
Seconds = Annotated[int, BeforeValidator(duration_s), SHOWN, IN_WORDS]
ShortWindow = Annotated[int, BeforeValidator(duration_s), AfterValidator(_between(60, 3600)), SHOWN, IN_WORDS]
LongWindow = Annotated[int, BeforeValidator(duration_s), AfterValidator(_between(300, 21_600)), SHOWN, IN_WORDS]
RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
TagText = Annotated[
    str, AfterValidator(_tag), Field(json_schema_extra={"pattern": f"^{TAG.pattern}$", "examples": ["feature=chat"]})
]
Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=1, le=1_000)]
Spread = Annotated[float, Field(ge=0, le=1_000)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**15)]
AtLeast = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,8}$")]
AmountText = Annotated[
    str,
    BeforeValidator(_amount),
    Field(pattern=AMOUNT_PATTERN, examples=["20", "0.50"]),
]
Amounts = Annotated[dict[Currency, AmountText], Field(min_length=1, max_length=16)]
Severity = Literal["page", "ticket", "info"]
KeyAction = Literal["none", "ask", "freeze_key", "freeze_project"]
ChannelAction = Literal["none", "ask", "freeze_channel"]
NoAction = Literal["none"]
Notify = Annotated[tuple[ReceiverName, ...], Field(max_length=16)]
Runbook = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
"""Without NUL, which Postgres does not keep: an alert that cannot be written down would hold up all others."""


class FilePart(BaseModel):
    """A part of the file; a field that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Match(FilePart):
    """Whom an override is for: every word that is given has to fit."""

    key: Identifier | None = None
    project: Identifier | None = None
    account: Identifier | None = None
    channel: Identifier | None = None
    model: Identifier | None = None
    tag: TagText | None = None

    @model_validator(mode="after")
    def _of_somebody(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("name a key, project, account, channel, model or tag")
        return self


class Behaviour(FilePart):
    """What every rule says of an alert's way, besides its threshold."""

    enabled: Annotated[bool, Field(description="false: the rule is kept and not judged.")] = True
    for_s: Annotated[Seconds, Field(alias="for", description="How long it has to exceed before it fires.")] = 0
    keep_s: Annotated[Seconds, Field(alias="keep", description="How long it has to be calm before it is resolved.")] = 300
    severity: Severity = "ticket"
    notify: Annotated[Notify, Field(description="Receivers of this file, by name.")] = ()
    runbook: Annotated[Runbook, Field(description="Where it says what to do; goes out with every message.")] = ""
    locked: Annotated[bool, Field(description="true: an owner does not undo what the rule froze; an operator does.")] = False


class BehaviourOverride(FilePart):
    """What an override may say differently; what it leaves out stays."""

    match: Match
    enabled: bool | None = None
    for_s: Annotated[Seconds | None, Field(alias="for")] = None
    keep_s: Annotated[Seconds | None, Field(alias="keep")] = None
    severity: Severity | None = None
    notify: Notify | None = None
    runbook: Runbook | None = None
    locked: bool | None = None


class _Usual(FilePart):
    """How far above what is usual a threshold lies."""

    factor: Annotated[Factor, Field(description="Times what is usual at this hour of the week.")] = 4
    spread: Annotated[Spread, Field(description="And that much above it: times the usual distance from it (MAD).")] = 8
    peak_factor: Annotated[Factor, Field(description="Never below so many times the busiest hours of four weeks.")] = 1.5


class _UsualOverride(BehaviourOverride):
    factor: Factor | None = None
    spread: Spread | None = None
    peak_factor: Factor | None = None


class TokensOverride(_UsualOverride):
    """For single keys, or those of a project, an account or a tag."""

    floor: Tokens | None = None
    floor_without_history: Tokens | None = None
    action: KeyAction | None = None


class TokensRule(Behaviour, _Usual):
    """Tokens that a key used within sixty seconds. Judged by the meter, within seconds."""

    id: RuleName
    signal: Literal["tokens_per_minute_by_key"]
    floor: Annotated[Tokens, Field(description="Tokens per minute below which nothing fires.")]
    floor_without_history: Annotated[Tokens | None, Field(description="The same for a key of which little is known.")] = None
    action: KeyAction = "none"
    overrides: Annotated[tuple[TokensOverride, ...], Field(max_length=MOST_OVERRIDES)] = ()


class RateOverride(_UsualOverride):
    """For single channels, models or tags."""

    floor: Share | None = None
    at_least: AtLeast | None = None
    action: ChannelAction | None = None


class _RateRule(Behaviour, _Usual):
    floor: Annotated[Share, Field(description="A share between 0 and 1 below which nothing fires.")]
    at_least: Annotated[AtLeast, Field(description="So many have to have gone wrong in the window.")] = 5
    window_s: Annotated[ShortWindow, Field(alias="window", description="What is counted together.")] = 300
    overrides: Annotated[tuple[RateOverride, ...], Field(max_length=MOST_OVERRIDES)] = ()


class ErrorRateRule(_RateRule):
    """The share of a channel's attempts that failed. Judged by the meter."""

    id: RuleName
    signal: Literal["error_rate_by_channel"]
    action: ChannelAction = "none"


class FallbackRule(_RateRule):
    """The share of a model's requests that another than the first channel had to serve. Judged on a schedule."""

    id: RuleName
    signal: Literal["fallback_frequency"]
    action: NoAction = "none"


class BurnedOverride(RateOverride):
    """The same, with the tokens that it takes."""

    floor_tokens: Tokens | None = None


class BurnedRule(_RateRule):
    """The share of a channel's tokens that failed attempts used up. Judged by the meter."""

    id: RuleName
    signal: Literal["failed_with_tokens"]
    floor_tokens: Annotated[Tokens, Field(description="So many tokens have to be lost in the window.")] = 20_000
    action: ChannelAction = "none"
    overrides: Annotated[tuple[BurnedOverride, ...], Field(max_length=MOST_OVERRIDES)] = ()


class SpendOverride(_UsualOverride):
    """For accounts, models or channels."""

    floor: Amounts | None = None


class SpendRule(Behaviour, _Usual):
    """What an account spent on one route: a model over a route type. Each currency by itself. Judged on a schedule."""

    id: RuleName
    signal: Literal["spend_by_route"]
    floor: Annotated[Amounts, Field(description="Per window and currency; a currency that is not named never fires.")]
    window_s: Annotated[LongWindow, Field(alias="window")] = 3600
    action: NoAction = "none"
    overrides: Annotated[tuple[SpendOverride, ...], Field(max_length=MOST_OVERRIDES)] = ()


class MixOverride(_UsualOverride):
    """For accounts."""

    floor: Share | None = None
    at_least: AtLeast | None = None


class MixRule(Behaviour, _Usual):
    """The share of an account's requests that other models and channels answered than usual. Judged on a schedule."""

    id: RuleName
    signal: Literal["mix_change"]
    floor: Annotated[Share, Field(description="The share that has to have moved.")]
    at_least: Annotated[AtLeast, Field(description="Requests in the window below which nothing is said.")] = 50
    window_s: Annotated[LongWindow, Field(alias="window")] = 1800
    action: NoAction = "none"
    overrides: Annotated[tuple[MixOverride, ...], Field(max_length=MOST_OVERRIDES)] = ()


Rule = TokensRule | ErrorRateRule | FallbackRule | SpendRule | MixRule | BurnedRule
AnyRule = Annotated[Rule, Field(discriminator="signal")]


class AlertRules(FilePart):
    """A whole rule file. It replaces the one before it."""

    version: Annotated[Literal[1], Field(description="Of this file's form.")] = 1
    receivers: Annotated[Receivers, Field(description="Who can be told, by name.")] = Field(default_factory=dict)
    rules: Annotated[tuple[AnyRule, ...], Field(max_length=MOST_RULES)]
