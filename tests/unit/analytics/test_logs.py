"""A library that repeats itself is heard once in a while."""

import logging

from services.analytics.logs import Sparing


def record(message: str, name: str = "aiokafka") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, (1,), None)


def test_a_repeated_message_is_said_every_ten_seconds_and_others_at_once() -> None:
    now = [100.0]
    sparing = Sparing(lambda: now[0])
    assert sparing.filter(record("no node %s"))
    now[0] += 9.9
    assert not sparing.filter(record("no node %s"))
    assert sparing.filter(record("another %s"))
    assert sparing.filter(record("no node %s", "faust"))
    now[0] += 0.1
    assert sparing.filter(record("no node %s"))
