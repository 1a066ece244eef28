"""What somebody may do to offsets, and what must come of it."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["refused", "halted", "harmless", "flagged"]
"""refused: the database does not take it. halted: the worker stops before it posts, and says why. harmless: nothing is posted
twice and nothing is left out. flagged: nothing is posted twice, and every request that it concerns is a case."""
UNREAD = 3
"""Events that are written and not yet read when the row is changed."""


@dataclass(frozen=True, slots=True)
class Tampering:
    """Statements that change the ledger's offsets, while the worker rests or works."""

    name: str
    statement: str
    outcome: Outcome
    while_working: bool = False


def _moved(name: str, change: str, outcome: Outcome, *, while_working: bool = False) -> Tampering:
    where = "where topic = %(topic)s and partition = %(partition)s"
    return Tampering(name, f"update consumer_offset set {change} {where}", outcome, while_working)


TAMPERINGS = (
    _moved("forward, without saying what was read", "next = next + 1", "refused"),
    _moved("before the beginning", "next = -1, consumed = -1", "refused"),
    _moved("forward by one", "next = next + 1, consumed = consumed + 1", "halted"),
    _moved("forward to the end", f"next = next + {UNREAD}, consumed = consumed + {UNREAD}", "halted"),
    _moved("forward beyond the end", "next = next + 1000000, consumed = consumed + 1000000", "halted"),
    _moved("forward, as if it had begun later", "first = first + 2, next = next + 2", "halted"),
    _moved("beyond the end, and what was settled", "next = 1000000, consumed = 1000000 - first, settled = 1000000", "halted"),
    _moved("forward while the worker works", "next = next + 1, consumed = consumed + 1", "halted", while_working=True),
    _moved(
        "forward to the end, and what was settled",
        f"next = next + {UNREAD}, consumed = consumed + {UNREAD}, settled = settled + {UNREAD}",
        "flagged",
    ),
    _moved("back by one", "next = next - 1, consumed = consumed - 1", "harmless"),
    _moved("back to the beginning", "next = first, consumed = 0", "harmless"),
    _moved("back, and what was settled", "next = first, consumed = 0, settled = 0", "harmless"),
    _moved("back, as if it had begun later", "first = 1, next = 1, consumed = 0", "harmless"),
    _moved("back while the worker works", "next = first, consumed = 0", "harmless", while_working=True),
    _moved("the lease given to another", "lease = 'another', lease_until = clock_timestamp()", "harmless"),
    _moved("the lease taken while the worker works", "lease = 'another'", "harmless", while_working=True),
    Tampering("the row removed", "delete from consumer_offset where partition = %(partition)s", "harmless"),
    Tampering("every row removed", "truncate consumer_offset", "harmless"),
)
