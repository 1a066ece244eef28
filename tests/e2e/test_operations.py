"""What operators ask of every process."""

from typing import Any

import httpx
import pytest

from deploy.local.processes import PROCESSES
from deploy.local.stack import Stack

pytestmark = pytest.mark.stack

WITHOUT_PAGES = {"provider"}
"""The simulator is no service of ours: it has a control API instead."""


@pytest.mark.parametrize("name", [process.name for process in PROCESSES if process.name not in WITHOUT_PAGES])
def test_every_process_tells_its_health_and_its_metrics(running: Stack, described: dict[str, Any], name: str) -> None:
    base = f"http://127.0.0.1:{running.ports()[name]}"
    assert httpx.get(f"{base}/healthz").status_code == 200
    assert httpx.get(f"{base}/readyz").status_code == 200
    metrics = httpx.get(f"{base}/metrics")
    assert metrics.status_code == 200
    assert "tollbook_" in metrics.text


@pytest.mark.parametrize("name", ["router", "settlement", "analytics"])
def test_internal_calls_want_the_token_of_a_service(described: dict[str, Any], name: str) -> None:
    paths = {
        "router": "/internal/models",
        "settlement": "/internal/price-book",
        "analytics": "/internal/accounts/a/rejections/01a20883-efaa-7556-9858-a534fc4fea38",
    }
    url = f"{described[f'{name}_url']}{paths[name]}"
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {described['demo']['api_key']}"}):
        refused = httpx.get(url, headers=headers)
        assert refused.status_code == 401, refused.text
        assert refused.json()["error"]["message"]
