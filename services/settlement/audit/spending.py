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


@dataclass(frozen=True, slots=True)
class Placed:
    """A hold, when it was placed, and where in the account's story that is."""

    hold: HoldRow
    at: datetime
    position: int


class Spending:
    """The windows of one account's envelopes.

    A limit that is set counts the holds of its present period from before, too: a run's own those since the run was opened.
    """

    def __init__(self, envelopes: Iterable[Envelope]) -> None:
        self._by_entity: Mapping[tuple[str, str, str], list[Envelope]] = _grouped(envelopes)
        self.windows: dict[Window, Spent] = defaultdict(Spent)
        self._opened: dict[Envelope, int] = {}

    def opened(self, envelope: Envelope, position: int) -> None:
        """The envelope was set at a place of the account's story: for the first time, or again, which changes nothing here."""
        self._opened.setdefault(envelope, position)

    def held(self, placed: Placed) -> None:
        """The hold counts as held in every window that it was placed in."""
        for _, spent in self._found(placed):
            spent.held += placed.hold.amount_nano

    def ended(self, placed: Placed, charge_nano: int) -> None:
        """The hold has ended with a charge, or with none."""
        for _, spent in self._found(placed):
            spent.held -= placed.hold.amount_nano
            spent.spent += charge_nano
            spent.overrun += max(charge_nano - placed.hold.amount_nano, 0)

    def refunded(self, placed: Placed, ended: int, at: datetime, *, nano: int, beyond: int, run_open: bool) -> None:
        """Part of the charge of a hold that ended at a place was given back at an instant.

        Windows that were over by then stay as they were, and so do those of envelopes that were set after the hold had ended:
        the hold was never stamped with them.
        """
        for (envelope, start), spent in self._found(placed):
            still_open = run_open if envelope.window == "run" else start == period_start(envelope.window, at)
            if still_open and self._opened.get(envelope, -1) < ended:
                spent.spent -= nano
                spent.overrun -= beyond

    def _found(self, placed: Placed) -> Iterable[tuple[Window, Spent]]:
        if not self._by_entity:
            return
        hold = placed.hold
        entities = (
            ("account", hold.holder),
            ("bucket", hold.bucket),
            ("project", hold.project_id),
            ("key", hold.key_id),
            ("run", f"{hold.run}/{hold.bucket}"),
        )
        for kind, entity in entities:
            for envelope in self._by_entity.get((kind, entity, hold.currency), ()):
                window = (envelope, period_start(envelope.window, placed.at))
                yield window, self.windows[window]


def _grouped(envelopes: Iterable[Envelope]) -> dict[tuple[str, str, str], list[Envelope]]:
    found: dict[tuple[str, str, str], list[Envelope]] = defaultdict(list)
    for envelope in envelopes:
        found[envelope.kind, envelope.entity, envelope.currency].append(envelope)
    return found
