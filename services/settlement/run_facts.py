"""The runs that holds name, read once: what a hold needs of a run never changes."""

from collections import OrderedDict
from collections.abc import Iterable

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from services.settlement.arrays import texts
from services.settlement.runs import RunFacts
from services.settlement.statements import statements

REMEMBERED = 10_000


class KnownRuns:
    """The runs that were asked for last. One that is not found is looked for again: it may be opened meanwhile."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, RunFacts] = OrderedDict()

    async def find(self, connection: AsyncConnection[TupleRow], run_ids: Iterable[str]) -> dict[str, RunFacts]:
        """Those of the runs that exist, by id."""
        asked = set(run_ids)
        missing = asked - self._known.keys()
        if missing:
            cursor = await connection.execute(statements("runs.sql")["run_facts"], {"ids": texts(sorted(missing))})
            for row in await cursor.fetchall():
                self._known[row[0]] = RunFacts(*row)
        found = {run_id: self._known[run_id] for run_id in asked & self._known.keys()}
        for run_id in found:
            self._known.move_to_end(run_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
