"""What ends a bench run."""

from __future__ import annotations


class BenchError(Exception):
    """The run cannot start or go on: the message says what to do. Exit code 2."""
