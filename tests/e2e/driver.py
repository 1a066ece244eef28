"""A client of the running stack: what an operator and a customer do, over HTTP alone."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self
from uuid import uuid4

import httpx

from deploy.local import traffic
from deploy.local.traffic import Size


@dataclass(frozen=True, kw_only=True)
class Customer:
    """An account with one project, and its API keys by name."""

    account_id: str
    project_id: str
    keys: dict[str, str]
    key_ids: dict[str, str]


@dataclass(kw_only=True)
class Reply:
    """What the client saw of one request."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    complete: bool = True

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.complete


class Driver:
    """Calls to the running stack, as `stack.json` describes it."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self.http = httpx.AsyncClient(timeout=90, limits=httpx.Limits(max_connections=64), trust_env=False)
        self._admin = {"authorization": f"Bearer {stack['admin_token']}"}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.aclose()

    async def asked_again(self, service: str, path: str, within_s: float = 90) -> Any:
        """GET from a service's admin API whose engine may just have been killed: a 503 asks to be asked again."""
        deadline = time.monotonic() + within_s
        while (reply := await self.http.get(f"{self.stack[f'{service}_url']}{path}", headers=self._admin)).status_code == 503:
            assert time.monotonic() < deadline, f"{path}: {reply.text}"
            await asyncio.sleep(0.25)
        assert reply.is_success, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    async def admin(self, service: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST to (or, without a body, GET from) a service's admin API; anything but success is an error."""
        url = f"{self.stack[f'{service}_url']}{path}"
        reply = await (
            self.http.get(url, headers=self._admin) if body is None else self.http.post(url, json=body, headers=self._admin)
        )
        assert reply.is_success, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    async def customer(self, **policies: dict[str, Any]) -> Customer:
        """A new account and project with one key per name, each under the policy given for it."""
        account = await self.admin("edge", "/admin/accounts", {"name": "e2e"})
        project = await self.admin("edge", "/admin/projects", {"account_id": account["account_id"], "name": "e2e"})
        keys, key_ids = {}, {}
        for name, policy in policies.items():
            body = {"project_id": project["project_id"], "name": name, "policy": policy}
            made = await self.admin("edge", "/admin/keys", body)
            keys[name], key_ids[name] = made["api_key"], made["key_id"]
        return Customer(account_id=account["account_id"], project_id=project["project_id"], keys=keys, key_ids=key_ids)

    async def top_up(self, account_id: str, bucket: str, amount: str, payment_id: str | None = None) -> Any:
        """Money into a bucket."""
        payment = payment_id or f"e2e-{uuid4().hex}"
        body = {"account_id": account_id, "bucket": bucket, "amount": amount, "provider": "manual", "payment_id": payment}
        return await self.admin("settlement", "/admin/topups", body)

    async def faults(self, channel: str, faults: list[dict[str, Any]]) -> None:
        """Script what goes wrong on one channel of the provider simulator."""
        reply = await self.http.post(
            f"{self.stack['provider_url']}/control/faults", json={"channel": channel, "faults": faults}
        )
        assert reply.is_success, reply.text

    async def clear_faults(self) -> None:
        """Everything works again."""
        await self.http.delete(f"{self.stack['provider_url']}/control/faults")

    async def send(
        self, key: str, method: str, path: str, body: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        """A customer's call to edge, whatever comes of it."""
        headers["authorization"] = f"Bearer {key}"
        return await self.http.request(method, f"{self.stack['edge_url']}{path}", json=body, headers=headers)

    async def ask(self, key: str, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """A customer's call to edge; anything but success is an error."""
        reply = await self.send(key, method, path, body, **headers)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return dict(reply.json())

    async def text(self, key: str, path: str) -> str:
        """What edge says for people."""
        reply = await self.send(key, "GET", path)
        assert reply.headers["content-type"].startswith("text/plain"), reply.text
        return reply.text

    async def chat(self, key: str, body: dict[str, Any], **headers: str) -> Reply:
        """One chat completion, plain or streamed to its end."""
        url = f"{self.stack['edge_url']}/v1/chat/completions"
        headers["authorization"] = f"Bearer {key}"
        if body.get("stream"):
            return await self._stream(url, body, headers)
        reply = await self.http.post(url, json=body, headers=headers)
        content = reply.json()
        return Reply(status=reply.status_code, headers=dict(reply.headers), body=content, usage=content.get("usage") or {})

    async def _stream(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        async with self.http.stream("POST", url, json=body, headers=headers) as reply:
            if reply.status_code != 200:
                content = json.loads(await reply.aread())
                return Reply(status=reply.status_code, headers=dict(reply.headers), body=content)
            seen = Reply(status=200, headers=dict(reply.headers), complete=False)
            async for line in reply.aiter_lines():
                self._take(seen, line)
            return seen

    @staticmethod
    def _take(seen: Reply, line: str) -> None:
        if line == "data: [DONE]":
            seen.complete = "error" not in seen.body
        elif line.startswith("data: "):
            chunk = json.loads(line[6:])
            seen.usage = chunk.get("usage") or seen.usage
            if "error" in chunk:
                seen.body = chunk

    async def receipt(self, key: str, request_id: str) -> dict[str, Any]:
        """The receipt as the customer gets it."""
        reply = await self.http.get(
            f"{self.stack['edge_url']}/v1/requests/{request_id}", headers={"authorization": f"Bearer {key}"}
        )
        assert reply.status_code == 200, f"{request_id}: {reply.status_code} {reply.text}"
        return dict(reply.json())

    async def balances(self, key: str) -> dict[str, dict[str, Any]]:
        """The customer's buckets by name."""
        reply = await self.http.get(f"{self.stack['edge_url']}/v1/balances", headers={"authorization": f"Bearer {key}"})
        assert reply.status_code == 200, reply.text
        return {row["bucket"]: row for row in reply.json()["data"]}


def chat_body(model: str, size: Size, *, stream: bool = False, cached: int = 0, capped: bool = True) -> dict[str, Any]:
    """A request of the given size, whose tokens the provider simulator reports exactly."""
    body = traffic.chat_body(model, size, cached=cached)
    if capped:
        body["max_tokens"] = size.output
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def amount(nano: int) -> Decimal:
    """Nano as an exact decimal."""
    return Decimal(nano).scaleb(-9)
