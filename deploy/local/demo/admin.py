"""What the demo asks of the stack's admin APIs."""

import time
from collections.abc import Callable
from typing import Any

import httpx


class DemoError(RuntimeError):
    """The demo cannot go on: the message says at which step and what the stack answered."""


class Admin:
    """The admin APIs of a running stack, and the customer's own reads over edge."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self._http = httpx.Client(timeout=30, trust_env=False)

    def call(self, service: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST with a body. Raises :class:`DemoError` unless it succeeds."""
        headers = {"authorization": f"Bearer {self.stack['admin_token']}"}
        url = f"{self.stack[f'{service}_url']}{path}"
        reply = self._http.get(url, headers=headers) if body is None else self._http.post(url, json=body, headers=headers)
        return self._checked(reply)

    def read(self, key: str, path: str) -> Any:
        """A customer's GET on edge."""
        reply = self._http.get(f"{self.stack['edge_url']}{path}", headers={"authorization": f"Bearer {key}"})
        return self._checked(reply)

    def ask(self, key: str, path: str, body: dict[str, Any]) -> Any:
        """A customer's POST to edge."""
        headers = {"authorization": f"Bearer {key}"}
        return self._checked(self._http.post(f"{self.stack['edge_url']}{path}", json=body, headers=headers))

    def receipt_text(self, key: str, request_id: str) -> str:
        """The receipt as a person reads it."""
        url = f"{self.stack['edge_url']}/v1/requests/{request_id}?format=text"
        reply = self._http.get(url, headers={"authorization": f"Bearer {key}"})
        if not reply.is_success:
            raise DemoError(f"the receipt of {request_id} could not be read: {reply.status_code} {reply.text}")
        return reply.text

    def script_faults(self, channel: str, faults: list[dict[str, Any]]) -> None:
        """Break (or, with no faults, mend) a channel of the provider simulator."""
        url = f"{self.stack['provider_url']}/control/faults"
        self._http.delete(url, params={"channel": channel}).raise_for_status()
        if faults:
            self._http.post(url, json={"channel": channel, "faults": faults}).raise_for_status()

    def wait_for(self, what: str, found: Callable[[], Any], within_s: float = 60) -> Any:
        """Ask until the answer is truthy. Raises :class:`DemoError` when it stays empty."""
        deadline = time.monotonic() + within_s
        while not (answer := found()):
            if time.monotonic() > deadline:
                raise DemoError(f"waited {within_s:.0f} s for {what}; `make logs` shows what the services say")
            time.sleep(0.25)
        return answer

    def wait_settled(self) -> None:
        """Until settlement has posted every event that Kafka holds."""

        def settled() -> bool:
            lag = self.call("settlement", "/admin/lag")
            behind = sum(row["lag"] for row in lag["partitions"])
            return not (behind or lag["ingress_pending"] or lag["open_holds"])

        self.wait_for("the ledger to post everything", settled)

    @staticmethod
    def _checked(reply: httpx.Response) -> Any:
        if not reply.is_success:
            raise DemoError(f"{reply.request.method} {reply.request.url.path} answered {reply.status_code}: {reply.text}")
        return reply.json()
