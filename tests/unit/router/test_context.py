"""What the ledger cannot store is refused before it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.chat import has_nul
from tests.unit.router.things import context


@pytest.mark.parametrize(
    "change",
    [
        {"tags": {"a": "b\0"}},
        {"tags": {"a\0": "b"}},
        {"run_id": "\0"},
        {"client_request_id": "x\0y"},
        {"environment": "e\0"},
        {"traceparent": "\0"},
    ],
)
def test_a_nul_is_found_wherever_it_would_be_stored(change: dict[str, Any]) -> None:
    assert not has_nul(context())
    assert not has_nul(context().model_copy(update={"tags": {"a": "\\u0000"}}))
    assert has_nul(context().model_copy(update=change))
