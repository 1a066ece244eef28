"""A change reaches every instance, in its order, and stays: under load, after a kill, and while Kafka is away.

`make prove-propagation` makes many changes of each kind and measures how soon each is obeyed.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.edge.broker import OwnBroker, own_broker
from tests.reliability.propagation.restarts import decided, obeys, restarts
from tests.reliability.propagation.twins import SECOND, SIDES, Twins, running, until
from tests.reliability.propagation.watching import watching

SILENT = {"TOLLBOOK_CONTROL_SILENT_SECONDS": "4"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    """A broker that this module may kill."""
    with own_broker(tmp_path_factory.mktemp("broker")) as own:
        yield own


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, broker: OwnBroker) -> Iterator[Twins]:
    """Two of everything."""
    with running(tmp_path_factory.mktemp("twins"), module_database_url, broker.bootstrap_servers, **SILENT) as started:
        yield started


def test_once_every_instance_has_read_a_change_no_request_shows_the_older_state(twins: Twins, tmp_path: Path) -> None:
    with watching(twins, tmp_path) as watch:
        for kind in watch.changes.kinds:
            watch.prove(kind, times=1)
    found = watch.judge()
    assert found.wrong == []
    assert found.receipts > 0
    assert found.refusals > 0


def test_what_was_decided_holds_after_a_kill(twins: Twins) -> None:
    restarts(twins)


def test_an_instance_that_cannot_hear_asks_and_is_not_ready_after_its_bound(twins: Twins, broker: OwnBroker) -> None:
    names = list(twins.ports)
    broker.kill()
    # Told to side 0 while Kafka is away: side 1 asks Postgres.
    with decided(twins) as (frozen, free):
        until(lambda: obeys(twins, frozen, free, 1), lambda: twins.readiness("edge", 1))
        until(
            lambda: all("control topic" in twins.readiness(*name)[1] for name in names),
            lambda: [twins.readiness(*name) for name in names],
        )
        broker.start()
        until(
            lambda: all(twins.readiness(*name)[0] == 200 for name in names), lambda: [twins.readiness(*name) for name in names]
        )
        assert all(obeys(twins, frozen, free, side) for side in SIDES)
    until(lambda: not twins.admin("router", "GET", f"/channels/{SECOND}", 1)["freeze"])
