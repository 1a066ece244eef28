"""Whatever a key's tokens do, its alerts begin and end in turn."""

from hypothesis import given
from hypothesis import strategies as st

from services.analytics.velocity import RESOLVE_PERCENT, judge

THRESHOLD = 1000


@given(st.lists(st.integers(0, 3 * THRESHOLD)))
def test_an_alert_fires_once_until_it_is_resolved(observations: list[int]) -> None:
    firing = False
    for observed in observations:
        verdict = judge(observed, THRESHOLD, firing=firing)
        assert verdict != ("fire" if firing else "resolve")
        firing = {"fire": True, "resolve": False, "keep": firing}[verdict]
        if observed > THRESHOLD:
            assert firing
        if observed * 100 < THRESHOLD * RESOLVE_PERCENT:
            assert not firing
