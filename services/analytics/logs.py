"""Logs of analytics' processes: JSON lines on standard output."""

import logging
import sys
import time
from collections.abc import Callable

import structlog

REPEAT_AFTER_S = 10.0
REMEMBERED = 1_000


class Sparing(logging.Filter):
    """Lets the same message of a library through once in a while: Kafka being away is said some ten times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message was not said within the last ten seconds."""
        key, now = (record.name, str(record.msg)), self._clock()
        if now - self._said.get(key, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return False
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[key] = now
        return True


def configure_logging() -> None:
    """Ours from INFO on; libraries from WARNING on, each message at most every ten seconds."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(Sparing())
    renderer = structlog.stdlib.ProcessorFormatter(
        processor=structlog.processors.JSONRenderer(),
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
    )
    handler.setFormatter(renderer)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
