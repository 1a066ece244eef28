"""What a router says while it waits for what it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from services.router import app
from services.router.errors import SecretUnreadableError


async def test_a_reason_to_wait_is_said_once_and_a_new_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: Iterator[Exception] = iter(
        [*[SecretUnreadableError("no key")] * 3, OSError("away"), SecretUnreadableError("no key")]
    )

    async def load() -> None:
        if (reason := next(reasons, None)) is not None:
            raise reason

    monkeypatch.setattr(app, "BOOT_RETRY_S", 0)
    with capture_logs() as logs:
        await app.until_done("the route table", load)
    assert [(line["what"], line["reason"]) for line in logs] == [
        ("the route table", "no key"),
        ("the route table", "away"),
        ("the route table", "no key"),
    ]
