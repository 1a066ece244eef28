"""The answer to "why did cost change": one block per currency, with its effects, who gave most to them, and sentences. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.money import format_amount
from services.analytics.usage_api.charges import MICRO, Charges, PriceOf, Side, Sums, sides
from services.analytics.usage_api.contributors import Contributor, contributors, moved
from services.analytics.usage_api.effects import MIX, Comparison
from services.analytics.usage_api.explain_words import Told, sentence, summary
from services.analytics.usage_api.question import Question

Pair = tuple[list[Charges], list[Charges]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was charged in the two spans: whole, and of those whose cost changed most (by kind and id)."""

    whole: Pair
    parts: Mapping[str, Mapping[str, Pair]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


def explanation(spans: tuple[Question, Question], facts: Facts, price_of: PriceOf) -> dict[str, Any]:
    """The answer as JSON."""
    before, after = spans
    return {
        "object": "usage.explanation",
        "from": after.since,
        "to": after.until,
        "against_from": before.since,
        "against_to": before.until,
        "timezone": after.zone,
        "data": list(_blocks(facts, price_of)),
    }


def _blocks(facts: Facts, price_of: PriceOf) -> Iterator[dict[str, Any]]:
    old, new = (sides(each, price_of) for each in facts.whole)
    parts = {
        kind: {name: (sides(pair[0], price_of), sides(pair[1], price_of)) for name, pair in those.items()}
        for kind, those in facts.parts.items()
    }
    for currency in sorted({*old, *new}):
        whole = old.get(currency, Side()), new.get(currency, Side())
        if any(side.total().cost for side in whole):
            own = {
                kind: {name: (a.get(currency, Side()), b.get(currency, Side())) for name, (a, b) in those.items()}
                for kind, those in parts.items()
            }
            yield _block(currency, whole, own, facts.names)


def _block(
    currency: str,
    whole: tuple[Side, Side],
    parts: Mapping[str, Mapping[str, tuple[Side, Side]]],
    names: Mapping[str, str],
) -> dict[str, Any]:
    comparison = Comparison(*whole)
    most = contributors(comparison, whole, parts)
    before, after = (side.total() for side in whole)
    effects = comparison.effects()
    told = Told(
        currency=currency,
        before=before,
        after=after,
        cost_nano=(before.cost // MICRO, after.cost // MICRO),
        effects=effects,
        moved=moved(comparison, *whole, effects[MIX]),
        unpriced_versions=whole[0].unpriced_versions | whole[1].unpriced_versions,
        names=names,
    )
    return {
        "currency": currency,
        "before": _totals(before),
        "after": _totals(after),
        **_change(comparison.change_nano),
        "summary": summary(told),
        "effects": [
            {
                "effect": effect,
                **_change(nano),
                "sentence": sentence(told, effect, nano, most.get(effect, ())),
                "contributors": [_contributor(each, names) for each in most.get(effect, ())],
            }
            for effect, nano in effects.items()
        ],
        "notes": list(_notes(whole)),
    }


def _totals(sums: Sums) -> dict[str, Any]:
    nano = sums.cost // MICRO
    tokens = dict(zip(("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"), sums.tokens, strict=True))
    return {"cost_nano": nano, "cost": format_amount(nano), "requests": sums.requests, "fallbacks": sums.fallen_back, **tokens}


def _change(nano: int) -> dict[str, Any]:
    return {"change_nano": nano, "change": format_amount(nano)}


def _contributor(each: Contributor, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "by": each.by,
        "id": each.id,
        "name": names.get(each.id) if each.by == "key" else None,
        **_change(each.change_nano),
        "moved_from": each.moved_from,
        "moved_to": each.moved_to,
    }


def _notes(whole: Iterable[Side]) -> Iterator[str]:
    both = list(whole)
    versions = sorted({version for side in both for version in side.unpriced_versions})
    if versions:
        yield (
            f"Price and size could not be told apart for charges by version {', '.join(map(str, versions))} of the price book,"
            " some of whose prices are not known here: what they changed is `unpriced`, and their fallbacks are mix."
        )
    if unplanned := sum(side.unplanned_requests for side in both):
        yield (
            f"{unplanned:,} charged requests are of before charges recorded the first candidate of their plan: what fallbacks"
            " changed of them is mix."
        )
