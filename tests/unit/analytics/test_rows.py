"""Events become rows: every golden example of the loader's topics, and the columns of every table."""

from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from schemas.registry import EVENTS
from services.analytics.rows.decode import Decoded, decode
from services.analytics.rows.registry import TABLE_OF, TABLES, TOPICS
from services.analytics.rows.table import Table
from tests.unit.analytics.records import EXAMPLES, Record, example

GOLDEN = [path for topic in TOPICS for path in sorted((EXAMPLES / topic).rglob("*.json"))]


class Row(NamedTuple):
    """One row with the names of its columns."""

    table: Table
    values: dict[str, Any]


def only_row(decoded: Decoded) -> Row:
    """The one row of a batch of one good record."""
    assert decoded.poison == []
    (table,) = [table for table in TABLES if decoded.rows[table.name]]
    (row,) = decoded.rows[table.name]
    return Row(table, dict(zip(table.names, row, strict=True)))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_example_becomes_one_row_with_its_envelope(path: Path) -> None:
    topic = path.parent.parent.name
    payload = orjson.loads(path.read_bytes())
    event = EVENTS[topic][payload["type"]].model_validate(payload)

    row = only_row(decode([Record(topic, 2, 41, path.read_bytes())]))

    assert row.table.topic == topic
    assert row.values["event_id"] == event.event_id.int
    assert row.values["type"] == event.type
    assert row.values["occurred_at"] == round(event.occurred_at.timestamp() * 1_000_000)
    assert row.values["account_id"] == event.account_id
    assert row.values["request_id"] == (event.request_id.int if event.request_id else None)
    assert row.values["run_id"] == (event.run_id or "")
    assert row.values["environment"] == event.environment
    assert row.values["tags"] == event.tags
    assert (row.values["kafka_partition"], row.values["kafka_offset"]) == (2, 41)


def test_every_event_of_the_loaded_topics_has_a_table() -> None:
    assert {(topic, kind) for topic in TOPICS for kind in EVENTS[topic]} == set(TABLE_OF)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_tables_defaults_fit_its_own_columns(table: Table) -> None:
    unfit = [column.name for column in table.columns if not column.accepts(column.default)]
    assert unfit == ["occurred_at"] + [name for name in ("accepted_at", "window_start", "window_end") if name in table.names]


def test_a_capture_keeps_every_amount_of_money() -> None:
    payload = example("tollbook.ledger.v1", "Captured-overrun")
    data = orjson.loads(payload)["data"]
    values = only_row(decode([Record("tollbook.ledger.v1", 0, 0, payload)])).values
    assert values["amount_nano"] == data["captured_nano"]
    assert values["hold_nano"] == data["hold_nano"]
    assert values["released_nano"] == data["released_nano"]
    assert values["overrun_nano"] == data["overrun_nano"] > 0
    assert values["balance_before_nano"] == data["balance"]["before_nano"]
    assert values["balance_after_nano"] == data["balance"]["after_nano"]
    assert values["currency"] == data["balance"]["currency"]


def test_a_completion_shows_the_charged_attempt_and_what_others_burned() -> None:
    event = orjson.loads(next(iter(sorted((EXAMPLES / "tollbook.attempts.v1").rglob("RequestCompleted*.json")))).read_bytes())
    attempt = event["data"]["attempts"][-1]
    burned = {
        **attempt,
        "attempt": 1,
        "channel": "spare",
        "usage": {"input_tokens": 70, "output_tokens": 5, "reasoning_tokens": 3},
    }
    paid = {
        **attempt,
        "attempt": 2,
        "channel": "main",
        "usage": {"input_tokens": 11, "cached_input_tokens": 4, "output_tokens": 6},
    }
    event["data"] |= {"attempts": [burned, paid], "charged_attempt": 2}
    values = only_row(decode([Record("tollbook.attempts.v1", 0, 0, orjson.dumps(event))])).values
    assert values["channel"] == "main"
    assert (values["input_tokens"], values["cached_input_tokens"], values["output_tokens"]) == (11, 4, 6)
    assert values["burned_tokens"] == 75

    event["data"]["charged_attempt"] = None
    values = only_row(decode([Record("tollbook.attempts.v1", 0, 0, orjson.dumps(event))])).values
    assert values["burned_tokens"] == 75 + 21
