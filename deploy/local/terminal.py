"""The terminal, as every command of the stack uses it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from deploy.local.errors import StackError

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def explained() -> Iterator[None]:
    """Turn a StackError into its message and exit code 1."""
    try:
        yield
    except StackError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
