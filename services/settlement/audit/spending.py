"""What holds spend in the windows of envelopes, from the holds alone: no order matters. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.settlement.money_in import period_start
from services.settlement.settling import HoldRow


@dataclass(frozen=True, slots=True)
class Envelope:
    """A limit of one account: what it is about and which windows it counts in."""

    kind: str
    entity: str
    currency: str
    window: str


Window = tuple[Envelope, datetime]


@dataclass(slots=True)
class Spent:
    """What a window has come to, in nano."""

    held: int = 0
    spent: int = 0
    overrun: int = 0


class Spending:
    """The windows of one account's envelopes."""

    def __init__(self, envelopes: Iterable[Envelope]) -> None:
        self._by_entity: Mapping[tuple[str, str, str], list[Envelope]] = _grouped(envelopes)
        self.windows: dict[Window, Spent] = defaultdict(Spent)

    def held(self, hold: HoldRow, placed_at: datetime, nano: int) -> None:
        """The hold counts as held (or, below zero, no longer) in every window that it was placed in."""
        for spent in self._windows(hold, placed_at):
            spent.held += nano

    def ended(self, hold: HoldRow, placed_at: datetime, charge_nano: int) -> None:
        """The hold has ended with a charge."""
        for spent in self._windows(hold, placed_at):
            spent.held -= hold.amount_nano
            spent.spent += charge_nano
            spent.overrun += max(charge_nano - hold.amount_nano, 0)

    def refunded(self, hold: HoldRow, placed_at: datetime, at: datetime, *, nano: int, beyond: int, run_open: bool) -> None:
        """Part of the hold's charge was given back at an instant: windows that were over by then stay as they were."""
        for (envelope, start), spent in self._found(hold, placed_at):
            still_open = run_open if envelope.window == "run" else start == period_start(envelope.window, at)
            if still_open:
                spent.spent -= nano
                spent.overrun -= beyond

    def _windows(self, hold: HoldRow, placed_at: datetime) -> Iterable[Spent]:
        return [spent for _, spent in self._found(hold, placed_at)]

    def _found(self, hold: HoldRow, placed_at: datetime) -> Iterable[tuple[Window, Spent]]:
        if not self._by_entity:
            return
        entities = (
            ("account", hold.holder),
            ("bucket", hold.bucket),
            ("project", hold.project_id),
            ("key", hold.key_id),
            ("run", f"{hold.run}/{hold.bucket}"),
        )
        for kind, entity in entities:
            for envelope in self._by_entity.get((kind, entity, hold.currency), ()):
                window = (envelope, period_start(envelope.window, placed_at))
                yield window, self.windows[window]


def _grouped(envelopes: Iterable[Envelope]) -> dict[tuple[str, str, str], list[Envelope]]:
    found: dict[tuple[str, str, str], list[Envelope]] = defaultdict(list)
    for envelope in envelopes:
        found[envelope.kind, envelope.entity, envelope.currency].append(envelope)
    return found
