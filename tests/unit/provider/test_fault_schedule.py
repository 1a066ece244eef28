"""Which fault befalls which request."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deploy.local.provider.faults import FAULTS_PER_CHANNEL_MAX, Fault, Schedule


def kinds(schedule: Schedule, requests: int) -> list[str | None]:
    taken = [schedule.take() for _ in range(requests)]
    return [fault.kind if fault else None for fault in taken]


def schedule_of(*faults: Fault) -> Schedule:
    schedule = Schedule()
    schedule.add(faults)
    return schedule


def test_counted_faults_are_consumed_in_order() -> None:
    schedule = schedule_of(Fault(kind="429", times=2), Fault(kind="cut"), Fault(kind="500", times=1))
    assert kinds(schedule, 5) == ["429", "429", "cut", "500", None]
    assert not schedule


def test_ok_places_a_fault_after_good_requests() -> None:
    assert kinds(schedule_of(Fault(kind="ok", times=2), Fault(kind="503")), 4) == ["ok", "ok", "503", None]


def test_drawn_faults_repeat_with_their_seed() -> None:
    runs = [kinds(schedule_of(Fault(kind="500", probability=0.3, seed=seed)), 200) for seed in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]
    assert 30 < runs[0].count("500") < 90


@pytest.mark.parametrize(("probability", "expected"), [(1.0, "500"), (0.0, None)])
def test_certain_and_impossible_faults_stay_so(probability: float, expected: str | None) -> None:
    schedule = schedule_of(Fault(kind="500", probability=probability))
    assert kinds(schedule, 50) == [expected] * 50
    assert schedule


def test_a_request_that_a_drawn_fault_spares_meets_the_next_one() -> None:
    schedule = schedule_of(Fault(kind="500", probability=0.0), Fault(kind="cut", times=1))
    assert kinds(schedule, 2) == ["cut", None]


def test_what_is_left_is_shown() -> None:
    schedule = schedule_of(Fault(kind="429", times=3, retry_after_s=2))
    schedule.take()
    assert schedule.described() == [{"kind": "429", "times": 2, "seed": 0, "retry_after_s": 2.0, "after_chunks": 3}]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "nonsense"},
        {"kind": "200"},
        {"kind": "600"},
        {"kind": "500", "times": 0},
        {"kind": "500", "times": 1, "probability": 0.5},
        {"kind": "500", "probability": 1.5},
        {"kind": "500", "unknown": 1},
    ],
)
def test_a_fault_that_cannot_happen_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(fields)


def test_a_channel_holds_a_bounded_number_of_faults() -> None:
    schedule = schedule_of(*[Fault(kind="500")] * FAULTS_PER_CHANNEL_MAX)
    with pytest.raises(ValueError, match="at most"):
        schedule.add([Fault(kind="500")])
