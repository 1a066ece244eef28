"""ClickHouse goes away while events come in: `make prove-outage` takes it away for a minute in every way."""

from pathlib import Path

import pytest

from tests.reliability.outage.proving import prove, rig, whole
from tests.reliability.outage.ways import failing, killed_within_an_insert

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
PER_SECOND = 200


async def test_nothing_is_lost_or_counted_twice_while_clickhouse_is_away_and_whoever_asks_is_told(
    database_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    ways = {"answers 500": failing, "killed within an insert": killed_within_an_insert}
    with rig(tmp_path, database_url, kafka_bootstrap_servers) as on:
        outages, watch = await prove(on, ways, away_s=3, per_second=PER_SECOND)
    assert all(outage.lag_records > PER_SECOND for outage in outages), outages
    assert all(watch.answers[call, 503] and watch.answers[call, 200] for call in ("/admin/lag", "/admin/usage")), watch.answers
    assert await whole(on)
