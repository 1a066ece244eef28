"""Why a cost changed, in sentences that a person understands. Pure: every figure is of the comparison."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from schemas.money import NANO_PER_UNIT
from services.analytics.usage_api.charges import Sums
from services.analytics.usage_api.contributors import Contributor
from services.analytics.usage_api.effects import (
    CACHE,
    FALLBACK,
    MIX,
    OUTPUT_SIZE,
    PRICE,
    PROMPT_SIZE,
    RETRY,
    ROUNDING,
    UNPRICED,
    VOLUME,
)

WORTH_TELLING = 100
"""An effect below one in so many of the largest is left to the figures."""
SHOWS_CENTS = NANO_PER_UNIT // 10
FIGURES = 100_000
"""More than the cells whose parts are rounded, in nano."""
SMALLEST_PERCENT = Decimal("0.05")
CACHED, WRITTEN = 1, 2
TOLD_FIRST = ("key", "model", "project", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the sentences of one currency are made of. `moved` are the models that lost and won most, `names` those of keys."""

    currency: str
    before: Sums
    after: Sums
    cost_nano: tuple[int, int]
    effects: Mapping[str, int]
    moved: tuple[str | None, str | None] = (None, None)
    unpriced_versions: Iterable[int] = ()
    names: Mapping[str, str] = field(default_factory=dict)


def summary(told: Told) -> str:
    """The change, and what it comes from, in one sentence."""
    old, new = told.cost_nano
    change = new - old
    if not change:
        how = f"Cost is what it was: {money(new)} {told.currency}"
    else:
        how = (
            f"Cost {'rose' if change > 0 else 'fell'} by {money(abs(change))} {told.currency}{_percent_of(change, old)},"
            f" from {money(old)} to {money(new)}"
        )
    parts = [f"{_signed(nano)} from {reason(told, effect)}" for effect, nano in worth_telling(told.effects)]
    return f"{how}: {', '.join(parts)}." if parts else f"{how}."


def worth_telling(effects: Mapping[str, int]) -> list[tuple[str, int]]:
    """The effects that a person wants to hear of, the largest first."""
    known = [(effect, nano) for effect, nano in effects.items() if nano]
    largest = max((abs(nano) for _, nano in known), default=0)
    return sorted((each for each in known if abs(each[1]) * WORTH_TELLING >= largest), key=lambda each: -abs(each[1]))


def sentence(told: Told, effect: str, nano: int, most: Iterable[Contributor]) -> str:
    """One effect in a sentence, with who gave more than half of it."""
    if not nano:
        return f"Nothing from {NOTHING_FROM[effect]}."
    said = f"{money(abs(nano))} {told.currency} {'more' if nano > 0 else 'less'} from {reason(told, effect)}."
    each = _main(nano, most)
    if each is None:
        return said
    name = told.names.get(each.id) if each.by == "key" else None
    who = f"{each.by} {name} ({each.id})" if name else f"{each.by} {each.id}"
    moving = f" moving from {each.moved_from} to {each.moved_to}" if each.moved_from and each.moved_to else ""
    return f"{said} {money(abs(each.change_nano))} of it come from {who}{moving}."


def _main(nano: int, most: Iterable[Contributor]) -> Contributor | None:
    """Who gave more than half of an effect and not more than all of it: a key before a model, a project or an account."""
    large = [each for each in most if each.by in TOLD_FIRST and abs(nano) < 2 * each.change_nano * (1 if nano > 0 else -1)]
    within = [each for each in large if abs(each.change_nano) <= abs(nano)]
    return min(within, key=lambda each: TOLD_FIRST.index(each.by), default=None)


def reason(told: Told, effect: str) -> str:
    """What an effect comes from, with the figures that show it."""
    return REASONS[effect](told, told.effects[effect])


def money(nano: int) -> str:
    """An amount to read: cents, or two digits of what is less than ten of them."""
    amount = Decimal(nano) / NANO_PER_UNIT
    if abs(nano) >= SHOWS_CENTS or not nano:
        return f"{amount.quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"
    return f"{amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1), ROUND_HALF_EVEN):f}"


def _signed(nano: int) -> str:
    return f"{money(abs(nano))} {'more' if nano > 0 else 'less'}"


def _percent_of(change: int, old: int) -> str:
    return f" ({_percent(change, old)})" if old > 0 else ""


def _percent(change: int, old: int) -> str:
    share = abs(Decimal(change) * 100 / old)
    if share < SMALLEST_PERCENT:
        return "under 0.1%"
    return f"{share.quantize(Decimal('0.1') if share < 10 else Decimal(1), ROUND_HALF_EVEN).normalize():,f}%"


def _volume(told: Told, nano: int) -> str:
    old, new = told.before.requests, told.after.requests
    if not old or not new:
        return f"{new:,} charged requests where there had been {f'{old:,}' if old else 'none'}"
    return f"{_percent(new - old, old)} {'more' if new > old else 'fewer'} requests ({old:,} → {new:,})"


def _prompts(told: Told, nano: int) -> str:
    means = _mean(told.before.prompt, told.before.requests), _mean(told.after.prompt, told.after.requests)
    return f"{'longer' if nano > 0 else 'shorter'} prompts{_means(means, nano, 'tokens')}"


def _answers(told: Told, nano: int) -> str:
    means = [_mean(side.tokens[-1], side.requests) for side in (told.before, told.after)]
    return f"{'longer' if nano > 0 else 'shorter'} answers{_means((means[0], means[1]), nano, 'tokens')}"


def _cache(told: Told, nano: int) -> str:
    read, written = (
        [_mean(100 * side.tokens[each], side.prompt) or 0 for side in (told.before, told.after)] for each in (CACHED, WRITTEN)
    )
    told_by = [
        f"{old}% → {new}% of prompt tokens {how}"
        for (old, new), how, way in ((read, "read from them", -1), (written, "written to them", 1))
        if (new - old) * nano * way > 0
    ]
    figures = f" ({', '.join(told_by)})" if told_by else ", model by model"
    return f"{'dearer' if nano > 0 else 'cheaper'} use of the providers' prompt caches{figures}"


def _mix(told: Told, nano: int) -> str:
    lost, won = told.moved
    moving = f", most of all from {lost} to {won}" if lost and won else ""
    return f"a {'dearer' if nano > 0 else 'cheaper'} mix of models and routes{moving}"


def _fallback(told: Told, nano: int) -> str:
    old, new = told.before, told.after
    dearer = "to dearer routes, or fewer to cheaper ones" if nano > 0 else "to cheaper routes, or fewer to dearer ones"
    what = "charged in another currency than planned" if old.crossed or new.crossed else dearer
    known = old.requests != new.requests and all(side.fallen_back <= side.requests for side in (old, new))
    of = f", of {old.requests:,} → {new.requests:,}" if known else ""
    counts = f"{old.fallen_back:,} → {new.fallen_back:,}"
    return f"fallbacks {what} ({counts} requests answered by another model or route than planned{of})"


def _price(told: Told, nano: int) -> str:
    return f"{'higher' if nano > 0 else 'lower'} prices of the same models"


def _retry(told: Told, nano: int) -> str:
    each = " per request" if told.before.requests and told.after.requests else ""
    return f"{'more' if nano > 0 else 'less'} charged{each} for failed attempts and for requests that never ended"


def _unpriced(told: Told, nano: int) -> str:
    versions = ", ".join(str(version) for version in sorted(told.unpriced_versions))
    return f"prices and sizes that cannot be told apart, because the prices of version {versions} are not known here"


def _rounding(told: Told, nano: int) -> str:
    if abs(nano) > told.before.requests + told.after.requests + FIGURES:
        return "charges that their tokens and prices do not account for"
    return "the rounding of each charge, and of each of these figures, to whole nano"


def _mean(total: int, count: int) -> int | None:
    return round(Decimal(total) / count) if count else None


def _means(means: tuple[int | None, int | None], nano: int, unit: str) -> str:
    """The means of all requests, where they went the way of the effect, which compares like with like."""
    old, new = means
    if old is None or new is None or (new - old) * nano <= 0:
        return ", model by model"
    return f" (mean {old:,} → {new:,} {unit})"


REASONS: Mapping[str, Callable[[Told, int], str]] = {
    VOLUME: _volume,
    PROMPT_SIZE: _prompts,
    CACHE: _cache,
    OUTPUT_SIZE: _answers,
    MIX: _mix,
    PRICE: _price,
    FALLBACK: _fallback,
    RETRY: _retry,
    UNPRICED: _unpriced,
    ROUNDING: _rounding,
}
NOTHING_FROM: Mapping[str, str] = {
    VOLUME: "the number of requests",
    PROMPT_SIZE: "the size of prompts",
    CACHE: "the providers' prompt caches",
    OUTPUT_SIZE: "the size of answers",
    MIX: "the mix of models and routes",
    PRICE: "prices",
    FALLBACK: "fallbacks",
    RETRY: "failed attempts and requests that never ended",
    UNPRICED: "unknown prices",
    ROUNDING: "roundings",
}
