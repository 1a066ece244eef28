"""The API reference in the repository is that of the services that run."""

from pathlib import Path
from typing import Any

import pytest

from deploy.reference.documents import pages

pytestmark = pytest.mark.stack

DOCS = Path(__file__).parents[2] / "docs" / "api"


def test_the_reference_says_what_the_services_serve(described: dict[str, Any]) -> None:
    written = {path.name: path.read_text() for path in DOCS.glob("*.md")}
    assert written == pages(described), "run `make reference` with the stack up"
