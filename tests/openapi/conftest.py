"""A stack of its own: whoever tries every admin call changes routes, prices and freezes that others rely on."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.home import read_json
from deploy.local.stack import Stack


@pytest.fixture(scope="session")
def described() -> Iterator[dict[str, Any]]:
    """The contents of `stack.json`. TOLLBOOK_TEST_HOME names a home whose stack is used and left as it is."""
    if home_in_use := os.environ.get("TOLLBOOK_TEST_HOME"):
        yield read_json(Path(home_in_use) / "stack.json")
        return
    with tempfile.TemporaryDirectory(prefix="tollbook-openapi-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), environ=dict(os.environ), fixed_ports=False)
        try:
            stack.up()
            yield read_json(stack.home.stack_file)
        finally:
            stack.clean()
