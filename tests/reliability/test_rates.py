"""The measurements measure: a few holds and events go through each of them."""

from tests.reliability.ground import Ground
from tests.reliability.rates import hold_rates, settle_rates

HOLDS, EVENTS = 400, 400


def test_holds_are_measured_one_per_call_and_gathered(database_url: str) -> None:
    rates = list(hold_rates(Ground(database_url), HOLDS))
    assert len(rates) == 6
    assert all(rate.per_second > 0 and rate.cpu_us["postgres"] >= 0 for rate in rates)


def test_the_worker_is_measured_over_a_real_broker(database_url: str, kafka_bootstrap_servers: str) -> None:
    rates = list(settle_rates(Ground(database_url, kafka_bootstrap_servers), EVENTS))
    assert [(rate.events, rate.holders) for rate in rates] == [(EVENTS, 50), (EVENTS, 1)]
    assert all({"postgres", "worker"} <= rate.cpu_us.keys() for rate in rates)
