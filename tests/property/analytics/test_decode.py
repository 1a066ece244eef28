"""Whatever a record contains, it becomes one fit row or one dead letter, and its neighbours become what they always were."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.rows.decode import decode
from services.analytics.rows.registry import TABLES, TOPICS
from tests.unit.analytics.records import EXAMPLES, Record

GOLDEN = [(topic, path.read_bytes()) for topic in TOPICS for path in sorted((EXAMPLES / topic).rglob("*.json"))]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path into a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, child in inner for path in places(child, (*here, key)))]


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """The value with another one at the path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A golden example with something else at one place, on one of the loader's topics."""
    topic, payload = draw(st.sampled_from(GOLDEN))
    event = orjson.loads(payload)
    return topic, orjson.dumps(replaced(event, draw(st.sampled_from(places(event))), draw(JSON)))


@given(st.lists(damaged() | st.tuples(st.sampled_from(TOPICS), st.binary(max_size=40)), min_size=1, max_size=6))
def test_every_record_becomes_one_fit_row_or_one_dead_letter(records: list[tuple[str, bytes]]) -> None:
    decoded = decode([Record(topic, 0, offset, value) for offset, (topic, value) in enumerate(records)])
    seen = [poison.offset for poison in decoded.poison]
    for table in TABLES:
        for row in decoded.rows[table.name]:
            seen.append(row[table.names.index("kafka_offset")])
            assert [column.name for column, value in zip(table.columns, row, strict=True) if not column.accepts(value)] == []
    assert sorted(seen) == list(range(len(records)))


@given(damaged(), st.sampled_from(GOLDEN))
def test_a_damaged_record_never_changes_its_neighbours_row(bad: tuple[str, bytes], good: tuple[str, bytes]) -> None:
    alone = decode([Record(good[0], 0, 1, good[1])])
    together = decode([Record(bad[0], 0, 0, bad[1]), Record(good[0], 0, 1, good[1])])
    ((name, (row,)),) = [(name, rows) for name, rows in alone.rows.items() if rows]
    assert row in together.rows[name]


@given(st.lists(st.sampled_from(GOLDEN), min_size=1, max_size=12), st.data())
def test_rows_do_not_depend_on_how_records_are_batched(records: list[tuple[str, bytes]], data: st.DataObject) -> None:
    numbered = [Record(topic, 0, offset, value) for offset, (topic, value) in enumerate(records)]
    cut = data.draw(st.integers(0, len(numbered)))
    parts = [decode(numbered[:cut]), decode(numbered[cut:])]
    whole = decode(numbered)
    for table in TABLES:
        assert whole.rows[table.name] == [row for part in parts for row in part.rows[table.name]]
