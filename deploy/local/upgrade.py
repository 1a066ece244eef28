"""An upgrade in place, while requests run: tables first, under the old processes, then one process after the other.

Whoever is called comes before its callers, so that a new caller never meets an old callee. Every migration leaves tables on
which the processes of the release before can work (docs/operations.md, "Upgrade").
"""

from deploy.local.processes import PROCESSES, Process

ORDER = ("settlement", "settlement-worker", "router", "router-batch", "edge", "analytics", "meter")


def in_order() -> list[Process]:
    """The services' processes as an upgrade takes them; one that the order does not name comes last.

    The provider simulator stands for somebody else's service: it goes on as it is.
    """
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted((each for each in PROCESSES if each.service), key=lambda each: places.get(each.name, len(places)))
