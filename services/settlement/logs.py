"""Logs as JSON lines on standard output, those of libraries too."""

import logging
import sys

import structlog

LIBRARIES = logging.ERROR
"""aiokafka warns of every reconnect; what follows from it we say ourselves."""


def configure_logs() -> None:
    """Called once by each composition root."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[*shared, structlog.processors.JSONRenderer()],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared)
    )
    logging.basicConfig(level=LIBRARIES, handlers=[handler], force=True)
