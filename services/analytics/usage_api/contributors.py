"""Who and what gave the most to each effect: models, routes, keys, projects, accounts. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from services.analytics.usage_api.charges import Cell, Side
from services.analytics.usage_api.effects import MIX, Comparison

SHOWN = 3
"""Of each kind, per effect."""
BY_CELL: Mapping[str, Callable[[Cell], str]] = {
    "model": lambda cell: cell.requested_model,
    "route": lambda cell: " ".join(cell.planned) if cell.planned.model else "",
}
"""What cells themselves tell. Of these the shown parts and all others add up to the effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """What one of its kind gave to an effect. `moved_from` and `moved_to` tell of the mix which models lost and won most."""

    by: str
    id: str
    change_nano: int
    moved_from: str | None = None
    moved_to: str | None = None


Found = dict[str, list[Contributor]]
"""Effect → who gave the most to it, first."""
Parts = Mapping[str, tuple[Side, Side]]
"""Whose → what of the two spans is theirs."""


def contributors(comparison: Comparison, whole: tuple[Side, Side], parts: Mapping[str, Parts]) -> Found:
    """By kind, those who gave the most to each effect."""
    found: Found = defaultdict(list)
    by_cell = comparison.by_cell(whole[0].cells, whole[1].cells)
    for kind, name_of in BY_CELL.items():
        sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for cell, amounts in by_cell.items():
            for effect, nano in amounts.items():
                sums[effect][name_of(cell)] += nano
        for effect, names in sums.items():
            found[effect] += _most(Contributor(by=kind, id=name, change_nano=nano) for name, nano in names.items() if name)
    for kind, each in parts.items():
        of_kind: Found = defaultdict(list)
        for name, sides in each.items():
            _add_part(of_kind, comparison, kind, name, sides)
        for effect, those in of_kind.items():
            found[effect] += _most(those)
    return found


def moved(comparison: Comparison, before: Side, after: Side, nano: int) -> tuple[str | None, str | None]:
    """The models that lost and that won the most of the requests' shares, or their routes where the model is the same.

    Neither where such a move does not tell the effect on the mix: it would have made cheaper what became dearer.
    """
    shares = {cell: comparison.share_moved(cell, before, after) for cell in {*before.cells, *after.cells}}
    lost, won = min(shares, key=lambda cell: (shares[cell], cell)), max(shares, key=lambda cell: (shares[cell], cell))
    if not shares[lost] < 0 < shares[won] or (comparison.dearness(won) - comparison.dearness(lost)) * nano <= 0:
        return None, None
    name_of = BY_CELL["model" if lost.requested_model != won.requested_model else "route"]
    return name_of(lost) or None, name_of(won) or None


def _add_part(into: Found, comparison: Comparison, kind: str, name: str, sides: tuple[Side, Side]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for amounts in comparison.by_cell(sides[0].cells, sides[1].cells).values():
        for effect, nano in amounts.items():
            sums[effect] += nano
    for effect, nano in sums.items():
        lost, won = moved(comparison, *sides, nano) if effect == MIX else (None, None)
        into[effect].append(Contributor(by=kind, id=name, change_nano=nano, moved_from=lost, moved_to=won))


def _most(those: Iterable[Contributor]) -> list[Contributor]:
    known = [each for each in those if each.change_nano]
    return sorted(known, key=lambda each: (-abs(each.change_nano), each.id))[:SHOWN]
