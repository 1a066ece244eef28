"""Keys take turns and rest; failures that are not the channel's do not count against it."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.attempts import ErrorClass
from services.router.breaker import BreakerLimits
from services.router.catalog import Channel
from services.router.health import Health, Passage
from tests.unit.router.things import catalog, channel, model


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


KEYS = [{"secret": "one"}, {"secret": "two"}]


def book(**more: Any) -> tuple[Health, Clock]:
    clock = Clock()
    return Health(BreakerLimits(consecutive=2, **more), clock), clock


def of(**more: Any) -> Channel:
    return catalog([channel("a", **{"keys": KEYS, **more})], [model("m", "a")]).channels["a"]


CHANNEL = of()


def begun(health: Health, channel: Channel = CHANNEL, tokens: int = 0, preferred: int | None = None) -> Passage:
    passage = health.begin(channel, tokens, preferred)
    assert isinstance(passage, Passage), passage
    return passage


def fail(health: Health, error: ErrorClass, channel: Channel = CHANNEL, retry_after_s: float | None = None) -> Passage:
    passage = begun(health, channel)
    passage.failed(error, retry_after_s)
    return passage


def test_keys_take_turns() -> None:
    health, _ = book()
    assert [begun(health).key for _ in range(4)] == [0, 1, 0, 1]


def test_a_preferred_key_serves_again_unless_it_rests() -> None:
    health, clock = book()
    assert [begun(health, preferred=1).key for _ in range(3)] == [1, 1, 1]
    begun(health, preferred=1).failed("rate_limited", 5)
    assert begun(health, preferred=1).key == 0
    clock.now += 5
    assert begun(health, preferred=1).key == 1
    assert begun(health, preferred=7).key in (0, 1)


def test_a_key_that_was_told_to_wait_rests_and_the_other_serves() -> None:
    health, clock = book()
    assert fail(health, "rate_limited", retry_after_s=5).key == 0
    assert [begun(health).key for _ in range(3)] == [1, 1, 1]
    clock.now += 5
    assert begun(health).key == 0


def test_a_limited_key_that_was_not_told_for_how_long_rests_a_second_where_another_serves() -> None:
    health, clock = book()
    passage = fail(health, "rate_limited")
    assert passage.other_key()
    assert [begun(health).key for _ in range(2)] == [1, 1]
    clock.now += 1
    assert begun(health).key == 0


def test_the_only_key_of_a_channel_does_not_rest_unless_it_was_told_to() -> None:
    health, _ = book()
    alone = of(keys=[{"secret": "one"}])
    passage = fail(health, "rate_limited", alone)
    assert not passage.other_key()
    assert health.condition(alone) is None
    fail(health, "rate_limited", alone, retry_after_s=3)
    assert health.condition(alone) == "cooldown"
    assert health.wait_s(alone) == 3


def test_a_key_without_quota_rests_like_a_refused_one() -> None:
    health, clock = book()
    begun(health).failed("rate_limited", spent=True)
    assert health.of(CHANNEL).keys_resting(clock.now + 29) == 1
    assert health.of(CHANNEL).keys_resting(clock.now + 30) == 0


def test_a_channel_whose_every_key_rests_is_skipped() -> None:
    health, clock = book()
    for _ in range(2):
        fail(health, "unauthorized")
    assert health.condition(CHANNEL) == "cooldown"
    assert health.begin(CHANNEL) == "cooldown"
    assert health.wait_s(CHANNEL) == 30
    clock.now += 30
    assert health.condition(CHANNEL) is None


def test_a_rest_has_a_bound_whatever_the_provider_says() -> None:
    health, clock = book()
    for _ in range(2):
        fail(health, "rate_limited", retry_after_s=86_400)
    clock.now += 60
    assert health.condition(CHANNEL) is None


def test_failures_of_the_channel_open_its_circuit() -> None:
    health, _ = book()
    for _ in range(2):
        fail(health, "upstream_error")
    assert health.condition(CHANNEL) == "circuit_open"
    assert health.begin(CHANNEL) == "circuit_open"
    assert health.wait_s(CHANNEL) == 10


def test_answers_that_are_the_requests_own_fault_do_not_open_the_circuit() -> None:
    health, _ = book()
    for _ in range(20):
        fail(health, "invalid_request")
    assert health.condition(CHANNEL) is None


def test_failures_on_our_side_say_nothing_about_the_channel() -> None:
    health, _ = book()
    silent: tuple[ErrorClass, ...] = ("client_gone", "log_unavailable", "ledger_unavailable", "internal")
    for error in silent:
        fail(health, error)
    assert health.condition(CHANNEL) is None
    assert health.of(CHANNEL).failures == 0


def opened() -> tuple[Health, Clock]:
    """A channel whose circuit may be probed now."""
    health, clock = book()
    for _ in range(2):
        fail(health, "timeout")
    clock.now += 10
    return health, clock


def test_one_probe_at_a_time_passes_a_half_open_circuit() -> None:
    health, _ = opened()
    probe = begun(health)
    assert [health.begin(CHANNEL) for _ in range(3)] == ["circuit_open"] * 3
    probe.succeeded()
    assert health.condition(CHANNEL) is None


def test_a_probe_that_was_cancelled_frees_its_place() -> None:
    health, _ = opened()
    begun(health).failed("internal")
    assert health.condition(CHANNEL) is None
    assert begun(health)
    assert health.of(CHANNEL).use.in_flight == 1


def test_a_call_from_before_the_circuit_opened_neither_closes_it_nor_frees_the_probes_place() -> None:
    health, clock = book()
    old = [begun(health) for _ in range(3)]
    for _ in range(2):
        fail(health, "timeout")
    clock.now += 10
    probe = begun(health)
    old[0].succeeded()
    old[1].failed("client_gone")
    old[2].failed("timeout")
    assert health.begin(CHANNEL) == "circuit_open"
    probe.succeeded()
    assert health.of(CHANNEL).breaker.state == "closed"


def test_the_first_chunk_of_a_probing_stream_closes_the_circuit_and_its_end_still_counts() -> None:
    health, _ = opened()
    probe = begun(health)
    probe.answered()
    assert health.of(CHANNEL).breaker.state == "closed"
    probe.failed("stream_cut")
    fail(health, "timeout")
    assert health.condition(CHANNEL) == "circuit_open"


def test_streams_that_are_cut_one_after_the_other_open_the_circuit() -> None:
    health, _ = book()
    for _ in range(2):
        passage = begun(health)
        passage.answered()
        passage.failed("stream_cut")
    assert health.condition(CHANNEL) == "circuit_open"


def test_a_call_ends_once() -> None:
    health, _ = book()
    passage = begun(health)
    passage.succeeded()
    passage.failed("timeout")
    passage.succeeded()
    state = health.of(CHANNEL)
    assert (state.use.in_flight, state.successes, state.failures) == (0, 1, 0)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"requests_per_minute": 2}, "request_limit"),
        ({"tokens_per_minute": 250}, "token_limit"),
        ({"concurrency": 2}, "concurrency_limit"),
    ],
)
def test_a_channel_at_its_limit_is_skipped_with_the_limits_own_reason(limits: dict[str, int], reason: str) -> None:
    health, _ = book()
    limited = of(limits=limits)
    for _ in range(2):
        assert health.condition(limited, 100) is None
        begun(health, limited, 100)
    assert health.condition(limited, 100) == reason
    assert health.begin(limited, 100) == reason
    assert health.wait_s(limited, 100) > 0


def test_what_a_call_really_used_replaces_the_guess() -> None:
    health, _ = book()
    limited = of(limits={"tokens_per_minute": 1000})
    passage = begun(health, limited, 900)
    assert health.condition(limited, 200) == "token_limit"
    passage.used(300)
    passage.succeeded()
    assert health.condition(limited, 700) is None
    assert health.condition(limited, 701) == "token_limit"


def test_a_reload_changes_limits_at_once_and_keeps_what_was_counted() -> None:
    health, _ = book()
    wide, narrow = of(limits={"concurrency": 5}), of(limits={"concurrency": 1})
    passage = begun(health, wide)
    assert health.condition(narrow) == "concurrency_limit"
    passage.succeeded()
    assert health.condition(narrow) is None


def test_a_call_reports_to_the_state_that_let_it_through_even_when_the_table_has_changed() -> None:
    health, _ = book()
    moved = of(base_url="https://elsewhere.example.com")
    passage = begun(health)
    old = health.of(CHANNEL)
    assert health.of(moved).use.in_flight == 0
    passage.succeeded()
    assert (old.use.in_flight, health.of(moved).use.in_flight) == (0, 0)


def test_a_reload_keeps_the_state_unless_the_channel_moved() -> None:
    health, _ = book()
    for _ in range(2):
        fail(health, "timeout")
    same = catalog([channel("a", keys=KEYS, brand="other")], [model("m", "a")]).channels["a"]
    assert health.condition(same) == "circuit_open"
    moved = catalog([channel("a", keys=KEYS, base_url="https://elsewhere.example.com")], [model("m", "a")]).channels["a"]
    assert health.condition(moved) is None


def test_a_request_of_the_table_before_does_not_reset_a_channel_that_has_new_keys() -> None:
    health, _ = book()
    rekeyed = of(keys=[{"secret": "three"}])
    begun(health)
    health.keep_only({"a": rekeyed})
    for _ in range(2):
        fail(health, "timeout", rekeyed)
    assert health.condition(CHANNEL) is None
    assert health.condition(rekeyed) == "circuit_open"


def test_reloads_of_the_same_channel_leave_one_state() -> None:
    health, _ = book()
    for _ in range(2):
        fail(health, "timeout")
    for priority in range(20):
        channel_now = of(priority=priority)
        health.keep_only({"a": channel_now})
        assert health.condition(channel_now) == "circuit_open"
        assert health.condition(CHANNEL) == "circuit_open"
    assert len(health._channels["a"]) == 2


def test_a_channel_that_left_the_table_is_forgotten() -> None:
    health, _ = book()
    for _ in range(2):
        fail(health, "timeout")
    health.keep_only({})
    assert health.condition(CHANNEL) is None


def test_operators_see_the_state() -> None:
    health, clock = book()
    limited = of(limits={"requests_per_minute": 10, "tokens_per_minute": 500})
    begun(health, limited, 120)
    fail(health, "rate_limited", limited, retry_after_s=5)
    health.of(limited).latencies.observe("gpt-4o", 80.0, stream=True)
    assert health.of(limited).described(clock.now, limited.limits) == {
        "circuit": "closed",
        "retries_in_s": 0.0,
        "keys": 2,
        "keys_resting": 1,
        "in_flight": 1,
        "limits": {
            "requests_per_minute": {"limit": 10, "used": 2},
            "tokens_per_minute": {"limit": 500, "used": 120},
            "concurrency": {"limit": None, "used": 1},
        },
        "latency": [{"upstream_model": "gpt-4o", "of": "ttft", "recent_ms": 80.0}],
        "successes": 0,
        "failures": 1,
        "last_error_class": "rate_limited",
    }
