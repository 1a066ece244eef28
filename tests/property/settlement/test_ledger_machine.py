"""Any sequence of operations, in any order, as often as one likes: the invariants hold and the model agrees after each.

The seeds are fixed, so that a change breaks this test for what it changed; `make prove-property` draws new ones.
"""

import multiprocessing

import pytest

from tests.property.settlement.machine.ledger_machine import LedgerMachine
from tests.property.settlement.machine.operations import kinds
from tests.property.settlement.prove import Tally, prove

STEPS = 50
IN_MEMORY, IN_POSTGRES = 2_000, 300
PROCESSES = multiprocessing.cpu_count()


FEW = 3
"""So many of the rarest kinds may be missing where the sequences are few; in memory, with more of them, none may be."""


def must_have_proved(tally: Tally, sequences: int, *, missing: int = 0) -> None:
    """Every sequence was whole and sound, and together they did everything."""
    assert tally.failure is None, tally.failure
    assert tally.sequences >= sequences
    assert tally.steps >= sequences * STEPS
    assert len(kinds() - tally.kinds.keys()) <= missing


@pytest.mark.timeout(1800)
def test_any_sequence_of_operations_keeps_the_ledger_in_memory_sound() -> None:
    must_have_proved(prove("memory", None, IN_MEMORY, STEPS, first_seed=1, processes=PROCESSES), IN_MEMORY)


@pytest.mark.timeout(1800)
def test_any_sequence_of_operations_keeps_the_ledger_in_postgres_sound(postgres_server: str) -> None:
    tally = prove("postgres", postgres_server, IN_POSTGRES, STEPS, first_seed=1, processes=PROCESSES)
    must_have_proved(tally, IN_POSTGRES, missing=FEW)


def test_the_machine_has_more_kinds_of_operation_than_the_issue_asks_for() -> None:
    assert len(LedgerMachine.setup_state().rules) == len(kinds())
    assert len(kinds()) >= 25
