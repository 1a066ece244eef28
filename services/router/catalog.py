"""The route table in force, ready for planning: immutable, so that a request keeps the one that it began with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.attempts import RouteType
from schemas.calls import HoldCandidate
from services.router.documents import CandidateDocument
from services.router.limits import ChannelLimits
from services.router.operator_cost import Factor, parse_factor
from services.router.origin import origin_of
from services.router.table import (
    EXPLORE_PERCENT,
    CandidateRow,
    ChannelRow,
    ModelRow,
    OnDisconnect,
    RouteTable,
    StickyBy,
    Strategy,
)
from services.router.vocabularies import KNOWN, vocabulary_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel with its secrets open. `keys` never appear in a repr; without any the channel is out of service.

    `fault` says why one or all of its keys cannot be used.
    """

    id: str
    route_type: RouteType
    brand: str
    dialect: str
    base_url: str
    origin: str
    keys: tuple[str, ...] = field(repr=False)
    factor: Factor | None
    on_disconnect: OnDisconnect = "drain"
    fault: str | None = None
    limits: ChannelLimits | None = None


class Sticky(NamedTuple):
    """For how long a request that a prompt cache may know goes where it went before, and what tells that."""

    seconds: int
    by: tuple[StickyBy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One candidate of a model, in the forms in which events and holds name it."""

    channel: Channel
    upstream_model: str
    priority: int
    weight: int | None
    candidate: CandidateDocument
    hold_candidate: HoldCandidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that clients may ask for. `places` by priority, then in file order; `explore` is a share.

    Its texts are at most `tokens_percent` of the most tokens that one of `vocabularies` makes of them; without any, as many
    as their bytes.
    """

    id: str
    owned_by: str
    created: int
    mode: str
    max_input_tokens: int
    max_output_tokens: int
    image_tokens_bound: int
    audio_input: bool
    strategy: Strategy
    explore: float
    sticky: Sticky | None
    vocabularies: tuple[str, ...]
    tokens_percent: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """One version of the table. `version` is 0 while no table has been posted."""

    version: int
    channels: Mapping[str, Channel]
    models: Mapping[str, Model]


EMPTY = Catalog(version=0, channels={}, models={})


def compile_catalog(
    version: int, table: RouteTable, secrets: Mapping[str, tuple[str, ...]], faults: Mapping[str, str] | None = None
) -> Catalog:
    """The table with the secrets of each channel, by its id, and why some cannot be used."""
    channels = {row.id: _channel(row, secrets[row.id], (faults or {}).get(row.id)) for row in table.channels}
    rows = {row.id: row for row in table.channels}
    models = {row.id: _model(row, channels, rows) for row in table.models}
    return Catalog(version=version, channels=channels, models=models)


def _channel(row: ChannelRow, keys: Iterable[str], fault: str | None) -> Channel:
    return Channel(
        id=row.id,
        route_type=row.route_type,
        brand=row.brand,
        dialect=row.dialect,
        base_url=row.base_url.rstrip("/"),
        origin=_origin(row.base_url),
        keys=tuple(keys),
        factor=None if row.cost_factor is None else parse_factor(row.cost_factor),
        on_disconnect=row.on_disconnect,
        fault=fault,
        limits=None if row.limits is None else ChannelLimits(**row.limits.model_dump()),
    )


def _origin(base_url: str) -> str:
    """The origin, or the whole address where it is one that rules of today refuse: such a channel is never called."""
    try:
        return origin_of(base_url)
    except ValueError:
        return base_url


def _model(row: ModelRow, channels: Mapping[str, Channel], rows: Mapping[str, ChannelRow]) -> Model:
    places = [_place(candidate, channels[candidate.channel], rows[candidate.channel]) for candidate in row.candidates]
    percent = EXPLORE_PERCENT if row.explore_percent is None else row.explore_percent
    vocabularies, tokens_percent = _counted_by(row)
    return Model(
        id=row.id,
        owned_by=row.owned_by,
        created=row.created,
        mode=row.mode,
        max_input_tokens=row.max_input_tokens,
        max_output_tokens=row.max_output_tokens,
        image_tokens_bound=row.image_tokens_bound,
        audio_input=row.audio_input,
        vocabularies=vocabularies,
        tokens_percent=tokens_percent,
        strategy=row.strategy or ("priority" if all(place.weight is None for place in places) else "weighted"),
        explore=percent / 100 if row.strategy == "fastest" else 0.0,
        sticky=None if row.sticky is None else Sticky(row.sticky.seconds, row.sticky.by),
        # Sorting is stable: file order holds where the priorities are equal.
        places=tuple(sorted(places, key=lambda place: place.priority)),
    )


def _counted_by(row: ModelRow) -> tuple[tuple[str, ...], int]:
    """The vocabularies of the model's candidates and the percentage of their counts that is a bound."""
    if row.tokenizer not in ("by_name", "unknown"):
        return (row.tokenizer,), 100
    named = {vocabulary_of(candidate.upstream_model) for candidate in row.candidates}
    if row.tokenizer == "by_name" and None not in named:
        return tuple(sorted(name for name in named if name is not None)), 100
    return ((), 100) if row.unknown_tokens_percent is None else (KNOWN, row.unknown_tokens_percent)


def _place(candidate: CandidateRow, channel: Channel, row: ChannelRow) -> Place:
    return Place(
        channel=channel,
        upstream_model=candidate.upstream_model,
        priority=row.priority if candidate.priority is None else candidate.priority,
        weight=row.weight if candidate.weight is None else candidate.weight,
        candidate={
            "channel": channel.id,
            "route_type": channel.route_type,
            "brand": channel.brand,
            "upstream_model": candidate.upstream_model,
        },
        hold_candidate=HoldCandidate(channel=channel.id, route_type=channel.route_type, model=candidate.upstream_model),
    )
