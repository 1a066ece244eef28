"""A small version of `make evaluate-alerts`: the shipped rules find clear incidents and are quiet on ordinary days."""

from pathlib import Path

import numpy as np
import pytest

from services.analytics.signals.rule_file import parse_rules
from tests.evaluation.bounds import binomial_lower, poisson_upper
from tests.evaluation.incidents import KINDS
from tests.evaluation.measure import Figures, Size, measure
from tests.evaluation.report import BEGIN, END, insert
from tests.evaluation.stage import assigned

SMALL = Size(incidents=6, keys=12, hours=336, past_hours=240)


@pytest.fixture(scope="module")
def figures() -> dict[str, Figures]:
    return measure(parse_rules(Path("deploy/catalog/alerts.yaml").read_text("utf-8")), 7, SMALL)


@pytest.mark.parametrize("signal", KINDS)
def test_the_shipped_rules_find_five_of_six_clear_incidents(figures: dict[str, Figures], signal: str) -> None:
    assert figures[signal].found >= 5


@pytest.mark.parametrize("signal", KINDS)
def test_the_shipped_rules_are_quiet_on_ordinary_days(figures: dict[str, Figures], signal: str) -> None:
    assert figures[signal].key_days == 168
    assert figures[signal].false <= 4


def test_a_runaway_key_is_an_alert_within_half_a_minute(figures: dict[str, Figures]) -> None:
    delays = figures["tokens_per_minute_by_key"].runaway_delays_s
    assert len(delays) == 6
    assert max(delays) <= 30


def test_bounds_are_those_of_the_books() -> None:
    assert poisson_upper(0) == pytest.approx(2.996, abs=0.001)
    assert poisson_upper(10) == pytest.approx(16.962, abs=0.001)
    assert binomial_lower(50, 50) == pytest.approx(0.9418, abs=0.0001)


def test_the_trace_is_assigned_to_keys_of_which_one_is_quiet() -> None:
    asked = assigned(np.random.default_rng(1))
    tokens = np.bincount(asked.key, weights=asked.prompt + asked.answer)
    assert len(asked.second) == 19_366
    assert 5_000 < tokens[-1] < 60_000


def test_the_page_keeps_what_stands_around_the_table() -> None:
    assert insert(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
