"""A real simulator process on a free port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest

CHECKOUT = Path(__file__).parents[3]


class Provider:
    """The running simulator, as a test sees it. Every test has a channel of its own."""

    def __init__(self, url: str, channel: str) -> None:
        self.url = url
        self.channel = channel
        self.base_url = f"{url}/{channel}/v1"
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self.openai = openai.OpenAI(base_url=self.base_url, api_key="sk-any", max_retries=0, timeout=60)

    def script(self, *faults: dict[str, Any]) -> None:
        """Add faults to the channel."""
        self.http.post("/control/faults", json={"channel": self.channel, "faults": faults}).raise_for_status()

    def stats(self) -> dict[str, Any]:
        """The channel's figures."""
        return self._only("/control/stats")

    def requests(self) -> list[dict[str, Any]]:
        """The shapes that the channel saw."""
        seen: list[dict[str, Any]] = self._only("/control/requests")["requests"]
        return seen

    def invoice(self) -> list[dict[str, Any]]:
        """What the provider would invoice."""
        lines: list[dict[str, Any]] = self.stats()["invoice"]
        return lines

    def _only(self, path: str) -> dict[str, Any]:
        reply = self.http.get(path, params={"channel": self.channel}).raise_for_status().json()
        only: dict[str, Any] = reply["channels"][0]
        return only

    def close(self) -> None:
        """Close the clients."""
        self.http.close()
        self.openai.close()


@pytest.fixture(scope="session")
def provider_url() -> Iterator[str]:
    command = [sys.executable, "-m", "deploy.local.provider", "--port", "0"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield orjson.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            assert process.wait(60) == 0


@pytest.fixture
def provider(provider_url: str, request: pytest.FixtureRequest) -> Iterator[Provider]:
    running = Provider(provider_url, f"t-{abs(hash(request.node.nodeid)):x}")
    try:
        yield running
    finally:
        running.close()
