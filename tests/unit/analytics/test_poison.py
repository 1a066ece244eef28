"""A record that can never become a row is set aside, alone, and nothing of its content is repeated."""

from typing import Any

import orjson
import pytest

from schemas import topics
from schemas.dead import DeadLetter
from services.analytics.publisher import dead_letter
from services.analytics.rows.decode import decode
from tests.unit.analytics.records import Record, example

SECRET = "the prompt that nobody may see"


def altered(topic: str, name: str, *path: str, value: Any) -> bytes:
    """A golden example with one field replaced; `...` as the value removes the field."""
    event = orjson.loads(example(topic, name))
    place = event
    for part in path[:-1]:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return orjson.dumps(event)


CAPTURED = (topics.LEDGER, "Captured")
POISON = {
    "no value": (topics.LEDGER, None),
    "no JSON": (topics.LEDGER, SECRET.encode()),
    "cut JSON": (topics.LEDGER, example(*CAPTURED)[:-20]),
    "bytes": (topics.LEDGER, b"\xff\xfe\x00"),
    "a list": (topics.LEDGER, orjson.dumps([SECRET])),
    "another topic's event": (topics.REQUESTS, example(*CAPTURED)),
    "an unknown type": (topics.LEDGER, altered(*CAPTURED, "type", value="Gifted")),
    "a type that is a list": (topics.LEDGER, altered(*CAPTURED, "type", value=[SECRET])),
    "no type": (topics.LEDGER, altered(*CAPTURED, "type", value=...)),
    "no event id": (topics.LEDGER, altered(*CAPTURED, "event_id", value=...)),
    "a bad event id": (topics.LEDGER, altered(*CAPTURED, "event_id", value=SECRET)),
    "a time without offset": (topics.LEDGER, altered(*CAPTURED, "occurred_at", value="2026-11-23T10:00:00")),
    "a time before computers": (topics.LEDGER, altered(*CAPTURED, "occurred_at", value="0001-01-01T00:00:00Z")),
    "tags of numbers": (topics.LEDGER, altered(*CAPTURED, "tags", value={"feature": 1})),
    "no data": (topics.LEDGER, altered(*CAPTURED, "data", value=None)),
    "a float of money": (topics.LEDGER, altered(*CAPTURED, "data", "captured_nano", value=1.5)),
    "money as text": (topics.LEDGER, altered(*CAPTURED, "data", "captured_nano", value="12")),
    "money beyond 64 bits": (topics.LEDGER, altered(*CAPTURED, "data", "captured_nano", value=2**63)),
    "tokens below nothing": (topics.LEDGER, altered(*CAPTURED, "data", "usage", "output_tokens", value=-1)),
    "a truth as a number": (topics.LEDGER, altered(*CAPTURED, "data", "usage", "output_tokens", value=True)),
    "a key that is a text": (topics.LEDGER, altered(*CAPTURED, "data", "key", value=SECRET)),
    "a channel that is null": (topics.LEDGER, altered(*CAPTURED, "data", "channel", value=None)),
}


@pytest.mark.parametrize("case", POISON.values(), ids=POISON.keys())
def test_poison_is_set_aside_and_its_neighbours_are_kept(case: tuple[str, bytes | None]) -> None:
    topic, value = case
    good = example(*CAPTURED)
    decoded = decode([Record(topics.LEDGER, 0, 6, good), Record(topic, 0, 7, value), Record(topics.LEDGER, 0, 8, good)])
    assert [(poison.topic, poison.partition, poison.offset) for poison in decoded.poison] == [(topic, 0, 7)]
    assert [row[9] for row in decoded.rows["ledger"]] == [6, 8]
    assert decoded.row_count == 2


@pytest.mark.parametrize("case", POISON.values(), ids=POISON.keys())
def test_a_dead_letter_names_the_place_and_never_the_content(case: tuple[str, bytes | None]) -> None:
    topic, value = case
    (poison,) = decode([Record(topic, 3, 7, value)]).poison
    letter = DeadLetter.model_validate_json(dead_letter(poison, "analytics-loader").to_json())
    assert (letter.data.topic, letter.data.partition, letter.data.offset) == (topic, 3, 7)
    assert letter.data.consumer == "analytics-loader"
    assert letter.data.reason in {"empty", "not_json", "not_an_event", "unknown_type", "bad_field"}
    assert SECRET not in letter.model_dump_json()


def test_the_same_poison_gives_the_same_dead_letter() -> None:
    first, second = (dead_letter(decode([Record(topics.LEDGER, 0, 7, b"{")]).poison[0], "loader") for _ in range(2))
    other = dead_letter(decode([Record(topics.LEDGER, 0, 8, b"{")]).poison[0], "loader")
    assert first.event_id == second.event_id != other.event_id


def test_a_dead_letter_carries_the_account_where_it_can_be_read() -> None:
    value = altered(*CAPTURED, "data", "captured_nano", value="12")
    account = orjson.loads(value)["account_id"]
    assert dead_letter(decode([Record(topics.LEDGER, 0, 0, value)]).poison[0], "loader").account_id == account
    assert dead_letter(decode([Record(topics.LEDGER, 0, 0, b"[]")]).poison[0], "loader").account_id == "unknown"
