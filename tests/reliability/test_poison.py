"""Every kind of poison once or twice, between good events."""

import random

import pytest

from services.settlement.errors import PoisonError
from services.settlement.records import Record, read
from tests.integration.settlement.requests_made import hold_for
from tests.reliability.ground import Ground
from tests.reliability.poison import charged, prove
from tests.reliability.poison_kinds import KINDS, Kind
from tests.reliability.progress import Progress

MESSAGES = len(KINDS) + 20
DECIDED_LATER = {"unpriced", "wrong_bucket", "amount_out_of_range"}
"""What only the price book tells: the record itself can be read."""


def test_poison_is_set_aside_and_good_events_between_are_settled(database_url: str, kafka_bootstrap_servers: str) -> None:
    on = Ground(database_url, kafka_bootstrap_servers)
    report = prove(on, MESSAGES, progress=Progress("poison", MESSAGES, quiet=True))
    assert report.wrong == []
    assert sum(report.reasons.values()) == MESSAGES


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_kind_of_poison_has_its_reason(kind: Kind) -> None:
    event = charged(hold_for("a"))
    raw = kind.make("a", event.to_json(), random.Random(1))
    record = Record(0, 0, raw.key, raw.value, "" if raw.type is None else raw.type.decode())
    if (kind.reason == "inconsistent" and "charged" in kind.name) or kind.reason in DECIDED_LATER:
        assert read(record).event_id == event.event_id
        return
    with pytest.raises(PoisonError) as refused:
        read(record)
    assert refused.value.reason == kind.reason
