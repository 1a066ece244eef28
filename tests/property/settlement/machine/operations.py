"""Kinds of operation: those that a ledger does all day, and those of which each sequence gets some."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

WORK: set[str] = set()
OTHERS: set[str] = set()
SOME = (6, 14)
"""How many of the others a sequence has at least and at most."""


def work(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that every sequence has, counted under its name whenever it runs."""
    return _counted(WORK, arguments)


def operation(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that some sequences have, counted under its name whenever it runs."""
    return _counted(OTHERS, arguments)


class Chosen:
    """The operations of one sequence."""

    def __init__(self, others: set[str]) -> None:
        self._names = WORK | others

    def is_enabled(self, name: str) -> bool:
        """Whether the sequence has the operation."""
        return name in self._names


def chosen_operations(sequence: object) -> st.SearchStrategy[Chosen]:
    """All of the work and some of the others, the same for a whole sequence."""
    least, most = SOME
    others = st.sets(st.sampled_from(sorted(OTHERS)), min_size=least, max_size=most)
    return st.shared(st.builds(Chosen, others), key=("operations", sequence))


def _counted(names: set[str], arguments: dict[str, Any]) -> Callable[[Callable[..., None]], Any]:
    def counted(function: Callable[..., None]) -> Any:
        names.add(function.__name__)

        @wraps(function)
        def run(self: Any, **drawn: Any) -> None:
            self.steps[function.__name__] += 1
            function(self, **drawn)

        made: Any = rule
        return made(**arguments)(run)

    return counted
