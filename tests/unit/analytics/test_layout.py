"""One SQL text on every engine: how statements are rewritten for a replicated cluster."""

import pytest

from services.analytics.layout import Engines, Layout

CREATE = (
    "CREATE TABLE IF NOT EXISTS rows\n(\n    a UInt8\n)\nENGINE = ReplacingMergeTree\n"
    "ORDER BY a\nSETTINGS non_replicated_deduplication_window = 1000"
)
IN_A_CLUSTER = (
    "CREATE TABLE IF NOT EXISTS rows ON CLUSTER 'main'\n(\n    a UInt8\n)\n"
    "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')\n"
    "ORDER BY a\nSETTINGS replicated_deduplication_window = 1000"
)
IN_A_REPLICATED_DATABASE = CREATE.replace("Replacing", "ReplicatedReplacing").replace("non_replicated", "replicated")


@pytest.mark.parametrize(
    ("engines", "cluster", "expected"),
    [("plain", "", CREATE), ("replicated", "main", IN_A_CLUSTER), ("database", "", IN_A_REPLICATED_DATABASE)],
)
def test_a_table_is_made_on_the_engines_of_the_layout(engines: Engines, cluster: str, expected: str) -> None:
    assert Layout(engines, cluster).of(CREATE) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE rows",
        "DROP TABLE IF EXISTS rows",
        "TRUNCATE TABLE rows",
        "CREATE OR REPLACE VIEW rows",
        "CREATE MATERIALIZED VIEW a",
    ],
)
def test_every_change_of_the_schema_runs_on_the_whole_cluster(statement: str) -> None:
    assert Layout("replicated", "main").of(f"{statement} REST") == f"{statement} ON CLUSTER 'main' REST"
    assert Layout("database").of(f"{statement} REST") == f"{statement} REST"


def test_rows_are_inserted_on_one_server() -> None:
    assert Layout("replicated", "main").of("INSERT INTO rows SELECT 1") == "INSERT INTO rows SELECT 1"
