"""Keys take turns and rest; failures that are not the channel's do not count against it."""

from __future__ import annotations

from services.router.breaker import BreakerLimits
from services.router.health import Health
from tests.unit.router.things import catalog, channel, model


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


KEYS = [{"secret": "one"}, {"secret": "two"}]


def book(**more: object) -> tuple[Health, Clock]:
    clock = Clock()
    return Health(BreakerLimits(consecutive=2), clock), clock


CHANNEL = catalog([channel("a", keys=KEYS)], [model("m", "a")]).channels["a"]


def test_keys_take_turns() -> None:
    health, _ = book()
    assert [health.begin(CHANNEL) for _ in range(4)] == [0, 1, 0, 1]


def test_a_key_that_was_told_to_wait_rests_and_the_other_serves() -> None:
    health, clock = book()
    assert health.begin(CHANNEL) == 0
    health.failed(CHANNEL, 0, "rate_limited", 5)
    assert [health.begin(CHANNEL) for _ in range(3)] == [1, 1, 1]
    clock.now += 5
    assert health.begin(CHANNEL) == 0


def test_a_channel_whose_every_key_rests_is_skipped() -> None:
    health, clock = book()
    for key in (0, 1):
        health.begin(CHANNEL)
        health.failed(CHANNEL, key, "unauthorized", None)
    assert health.condition(CHANNEL) == "cooldown"
    assert health.begin(CHANNEL) == "cooldown"
    clock.now += 30
    assert health.condition(CHANNEL) is None


def test_a_rest_has_a_bound_whatever_the_provider_says() -> None:
    health, clock = book()
    for key in (0, 1):
        health.failed(CHANNEL, key, "rate_limited", 86_400)
    clock.now += 60
    assert health.condition(CHANNEL) is None


def test_failures_of_the_channel_open_its_circuit() -> None:
    health, _ = book()
    for _ in range(2):
        health.begin(CHANNEL)
        health.failed(CHANNEL, 0, "upstream_error", None)
    assert health.condition(CHANNEL) == "circuit_open"
    assert health.begin(CHANNEL) == "circuit_open"


def test_answers_that_are_the_requests_own_fault_do_not_open_the_circuit() -> None:
    health, _ = book()
    for _ in range(20):
        health.begin(CHANNEL)
        health.failed(CHANNEL, 0, "invalid_request", None)
    assert health.condition(CHANNEL) is None


def test_failures_on_our_side_say_nothing_about_the_channel() -> None:
    health, _ = book()
    for error in ("client_gone", "log_unavailable", "ledger_unavailable", "internal"):
        health.begin(CHANNEL)
        health.failed(CHANNEL, 0, error, None)
    assert health.condition(CHANNEL) is None
    assert health.of(CHANNEL).failures == 0


def test_a_reload_keeps_the_state_unless_the_channel_moved() -> None:
    health, _ = book()
    for _ in range(2):
        health.failed(CHANNEL, 0, "timeout", None)
    same = catalog([channel("a", keys=KEYS, brand="other")], [model("m", "a")]).channels["a"]
    assert health.condition(same) == "circuit_open"
    moved = catalog([channel("a", keys=KEYS, base_url="https://elsewhere.example.com")], [model("m", "a")]).channels["a"]
    assert health.condition(moved) is None


def test_a_channel_that_left_the_table_is_forgotten() -> None:
    health, _ = book()
    for _ in range(2):
        health.failed(CHANNEL, 0, "timeout", None)
    health.keep_only([])
    assert health.condition(CHANNEL) is None


def test_operators_see_the_state() -> None:
    health, clock = book()
    health.begin(CHANNEL)
    health.failed(CHANNEL, 0, "rate_limited", 5)
    described = health.of(CHANNEL).described(clock.now)
    assert described == {
        "circuit": "closed", "keys": 2, "keys_resting": 1, "successes": 0, "failures": 1, "last_error_class": "rate_limited",
    }  # fmt: skip
