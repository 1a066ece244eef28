"""The statements that read what was charged in two spans, and their rows as charges. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.analytics.sqlfile import queries
from services.analytics.usage_api import report
from services.analytics.usage_api.charges import Charges, Route, Tokens
from services.analytics.usage_api.question import Question

FILE = "explain.sql"
HOUR = timedelta(hours=1)
WHO = {"account": "u.account_id", "project": "u.project_id", "key": "u.key_id"}
MOST_GROUPS = 20_000
MOST_MOVERS = 20


class Statements:
    """What reads two spans: 0 is the one before, 1 the one after. `rolled` says of each whether the rollups suffice."""

    def __init__(self, tags: bool, rolled: tuple[bool, bool] = (True, True)) -> None:
        self._blocks = queries(FILE)
        self._filters = self._blocks["filters"] + (f"\n    {self._blocks['tag_filters']}" if tags else "")
        self._sources = tuple(self._source(number, each) for number, each in enumerate(rolled))

    def charges(self, number: int, who: str | None = None) -> str:
        """The charges of a span in groups, parted by project or the like too where `who` says so."""
        return self._filled("charges", number, who)

    def movers(self, who: str) -> str:
        """Whose cost changed the most."""
        before, after = (self._filled("spent_by", number, who) for number in (0, 1))
        return self._blocks["movers"].replace("$before", before).replace("$after", after)

    def old_rows(self, number: int) -> str:
        """Whether a span has charges in the rollups that know no price version."""
        return self._filled("old_rows", number, None)

    def _source(self, number: int, rolled: bool) -> str:
        text = self._blocks["rolled"].replace("$columns", self._blocks["columns"]) if rolled else self._blocks["raw"]
        return text.replace("$n", str(number))

    def _filled(self, block: str, number: int, who: str | None) -> str:
        text = self._blocks[block].replace("$filters", self._filters).replace("$table", self._sources[number])
        return text.replace("$who", WHO[who] if who else "''")


def parameters(spans: tuple[Question, Question]) -> dict[str, Any]:
    """What every statement takes: the two spans, and the filters, which they share."""
    found = report.parameters(spans[1], MOST_GROUPS + 1, None) | {"anyone": 1, "whose": [], "movers": MOST_MOVERS}
    for number, each in enumerate(spans):
        whole_from, whole_to = _hour(each.since + HOUR - timedelta(microseconds=1)), _hour(each.until)
        instants = {"from_s": each.since, "to_s": each.until, "whole_from_s": whole_from, "whole_to_s": whole_to}
        found |= {f"{name}{number}": int(at.timestamp()) for name, at in instants.items()}
    return found


def read(rows: Iterable[Mapping[str, Any]]) -> list[Charges]:
    """The rows of :meth:`Statements.charges`."""
    return [_read(row) for row in rows]


def _read(row: Mapping[str, Any]) -> Charges:
    planned = Route(row["planned_route_type"], row["planned_model"]) if row["planned_model"] else None
    return Charges(
        currency=row["currency"],
        requested_model=row["requested_model"],
        served=Route(row["route_type"], row["upstream_model"]),
        planned=planned,
        price_version=int(row["price_version"]),
        requests=int(row["requests"]),
        tokens=Tokens(*(int(row[f"{name}_tokens"]) for name in Tokens._fields)),
        spent_nano=int(row["spent_nano"]),
        beside_nano=int(row["beside_nano"]),
        lost=bool(row["lost"]),
    )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
