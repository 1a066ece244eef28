"""Kinds of operation: those that a ledger does all day, and families of others, of which each sequence gets some."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

WORK: set[str] = set()
FAMILIES: dict[str, set[str]] = {}
"""What belongs together: a run that is opened is extended and closed only in a sequence that has all three."""
SOME = (2, 5)
"""How many families a sequence has at least and at most."""


def work(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that every sequence has, counted under its name whenever it runs."""
    return _counted(WORK, arguments)


def operation(family: str, /, **arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that some sequences have, counted under its name whenever it runs."""
    return _counted(FAMILIES.setdefault(family, set()), arguments)


def kinds() -> set[str]:
    """Every kind of operation."""
    return WORK.union(*FAMILIES.values())


class Chosen:
    """The operations of one sequence."""

    def __init__(self, families: set[str]) -> None:
        self._names = WORK.union(*(FAMILIES[family] for family in families))

    def is_enabled(self, name: str) -> bool:
        """Whether the sequence has the operation."""
        return name in self._names


def chosen_operations(sequence: object) -> st.SearchStrategy[Chosen]:
    """All of the work and some families of others, the same for a whole sequence."""
    least, most = SOME
    families = st.sets(st.sampled_from(sorted(FAMILIES)), min_size=least, max_size=most)
    return st.shared(st.builds(Chosen, families), key=("operations", sequence))


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
