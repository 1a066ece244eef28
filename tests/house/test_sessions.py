"""Tests that share a stack run in one session, one after the other."""

import pytest

from tests.sessions import place, together


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/e2e/test_trace.py::test_a[x/y::z]", "tests/e2e"),
        ("tests/e2e/test_chaos.py::test_b", "tests/e2e"),
        ("tests/integration/router/test_lifecycle.py::test_c", "tests/integration/router/test_lifecycle.py"),
        ("tests/unit/router/test_plan.py::test_d", "tests/unit/router/test_plan.py"),
    ],
)
def test_a_test_stays_with_what_it_shares(nodeid: str, group: str) -> None:
    assert together(nodeid) == group


def test_the_stack_is_begun_first_and_unit_tests_fill_the_end() -> None:
    nodeids = ["tests/unit/a.py::t", "tests/integration/edge/b.py::t", "tests/e2e/c.py::t", "tests/reliability/d.py::t"]
    assert sorted(nodeids, key=place) == [nodeids[2], nodeids[3], nodeids[1], nodeids[0]]
