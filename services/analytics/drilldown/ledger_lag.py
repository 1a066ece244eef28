"""How far the ledger is behind: settlement says what waits, ClickHouse knows since when."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from services.analytics import metrics
from services.analytics.drilldown.peer import Peer, PeerAwayError
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

PATH = "/admin/lag"
AWAY: Mapping[str, Any] = {"records": None, "oldest_s": None, "outbox_pending": None, "open_holds": None}


class LedgerLag:
    """Never fails for want of settlement: that it is away is an answer. Raises WarehouseAwayError."""

    def __init__(self, settlement: Peer, warehouse: Warehouse) -> None:
        self._settlement = settlement
        self._warehouse = warehouse

    async def now(self, authorization: str) -> dict[str, Any]:
        """As :class:`services.analytics.drilldown.models.LedgerLag` describes it."""
        try:
            said = await self._settlement.json(PATH, authorization)
            partitions = said["partitions"]
            records = waiting(partitions)
            pending = {"outbox_pending": said["outbox_pending"], "open_holds": said["open_holds"]}
        except (PeerAwayError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, PeerAwayError) else "Settlement speaks of its lag in words unknown here."
            return {"away": True, "reason": reason, **AWAY}
        oldest = await self._oldest(partitions) if records != 0 else None
        return {"away": False, "reason": None, "records": records, "oldest_s": oldest, **pending}

    async def _oldest(self, partitions: Sequence[Mapping[str, Any]]) -> float | None:
        behind = [part for part in partitions if part["lag"] != 0]
        values = {"partitions": [part["partition"] for part in behind], "next": [part["next"] for part in behind]}
        with metrics.QUERY_SECONDS.labels("drilldown_unsettled_since").time():
            (row,) = await self._warehouse.rows(queries("drilldown.sql")["unsettled_since"], values)
        return None if row["at"] is None else max(0.0, (datetime.now(UTC) - row["at"].replace(tzinfo=UTC)).total_seconds())


def waiting(partitions: Sequence[Mapping[str, Any]]) -> int | None:
    """Records that are not settled yet; None while Kafka does not say where it ends."""
    lags = [part["lag"] for part in partitions]
    return None if any(lag is None for lag in lags) else sum(lags)
