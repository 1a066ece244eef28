"""The control endpoint: scripts faults and paces, shows figures, for tests and demos.

POST   /control/faults     {channel, faults: [...]}           append to what the channel has
GET    /control/faults     [?channel=]                        what is still scripted
DELETE /control/faults     [?channel=]                        forget all of it
POST   /control/pace       {channel, latency_ms, ttft_ms, chunk_ms}
DELETE /control/pace       [?channel=]
GET    /control/stats      [?channel=]                        figures and the provider's invoice
DELETE /control/stats      [?channel=]                        start them afresh
GET    /control/invoice    ?channel=[&input=&cached_input=&output=&currency=]  the invoice as CSV, one line per billed request
GET    /control/requests   [?channel=]                        shapes of the last 1,000 bodies of each channel
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import parse_qs

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.local.provider.ask import INSTANT, Pace
from deploy.local.provider.channel import Channel, Channels
from deploy.local.provider.errors import BadControlError
from deploy.local.provider.faults import Fault
from deploy.local.provider.invoice import Rates, written
from deploy.local.provider.tokens import DELAY_MS_MAX

Answer = dict[str, Any] | str
Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FaultsBody(_Strict):
    """What POST /control/faults takes."""

    channel: str
    faults: list[Fault] = Field(max_length=1_000)


class PaceBody(_Strict):
    """What POST /control/pace takes; milliseconds."""

    channel: str
    latency_ms: float = Field(default=0, ge=0, le=DELAY_MS_MAX)
    ttft_ms: float = Field(default=0, ge=0, le=DELAY_MS_MAX)
    chunk_ms: float = Field(default=0, ge=0, le=DELAY_MS_MAX)


class Control:
    """Answers the control endpoint."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._calls: dict[tuple[bytes, bytes], Callable[[str | None, bytes], Answer]] = {
            (b"POST", b"/control/faults"): self._add_faults,
            (b"GET", b"/control/faults"): self._show_faults,
            (b"DELETE", b"/control/faults"): self._clear_faults,
            (b"POST", b"/control/pace"): self._set_pace,
            (b"DELETE", b"/control/pace"): self._clear_pace,
            (b"GET", b"/control/stats"): self._show_stats,
            (b"DELETE", b"/control/stats"): self._clear_stats,
            (b"GET", b"/control/requests"): self._show_requests,
        }

    def answer(self, method: bytes, target: bytes, body: bytes) -> Answer:
        """The answer's JSON, or the text of a file. Raises BadControlError."""
        path, _, query = target.partition(b"?")
        if (method, path) == (b"GET", b"/control/invoice"):
            return self._invoice({name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()})
        call = self._calls.get((method, path))
        if call is None:
            raise BadControlError(404, f"no such control call: {method.decode()} {path.decode('latin-1')}")
        named = parse_qs(query.decode("latin-1")).get("channel")
        return call(named[0] if named else None, body)

    def _add_faults(self, _: str | None, body: bytes) -> Answer:
        wanted = _validated(FaultsBody, body)
        channel = self._open(wanted.channel)
        try:
            channel.schedule.add(wanted.faults)
        except ValueError as error:
            raise BadControlError(400, str(error)) from error
        return _faults_of(channel)

    def _show_faults(self, name: str | None, _: bytes) -> Answer:
        return {"channels": [_faults_of(channel) for channel in self._channels.named(name)]}

    def _clear_faults(self, name: str | None, body: bytes) -> Answer:
        for channel in self._channels.named(name):
            channel.schedule.clear()
        return self._show_faults(name, body)

    def _set_pace(self, _: str | None, body: bytes) -> Answer:
        wanted = _validated(PaceBody, body)
        channel = self._open(wanted.channel)
        channel.pace = Pace(wanted.latency_ms, wanted.ttft_ms, wanted.chunk_ms)
        return {"channel": channel.name, **channel.pace._asdict()}

    def _clear_pace(self, name: str | None, _: bytes) -> Answer:
        channels = self._channels.named(name)
        for channel in channels:
            channel.pace = INSTANT
        return {"channels": [{"channel": one.name, **one.pace._asdict()} for one in channels]}

    def _show_stats(self, name: str | None, _: bytes) -> Answer:
        channels = self._channels.named(name)
        return {"channels": [{"channel": one.name, **one.book.described()} for one in channels]}

    def _clear_stats(self, name: str | None, body: bytes) -> Answer:
        for channel in self._channels.named(name):
            channel.forget()
        return self._show_stats(name, body)

    def _invoice(self, asked: dict[str, str]) -> str:
        channels = self._channels.named(asked.get("channel"))
        try:
            rates = _rates(asked) if "output" in asked else None
        except (InvalidOperation, KeyError) as error:
            raise BadControlError(400, "give input, cached_input and output as decimals per million tokens") from error
        return written([item for one in channels for item in one.book.items], rates)

    def _show_requests(self, name: str | None, _: bytes) -> Answer:
        channels = self._channels.named(name)
        return {"channels": [{"channel": one.name, "requests": one.seen()} for one in channels]}

    def _open(self, name: str) -> Channel:
        channel = self._channels.open(name)
        if channel is None:
            raise BadControlError(400, f"{name!r} cannot be a channel, or there are too many channels")
        return channel


def _faults_of(channel: Channel) -> dict[str, Any]:
    return {"channel": channel.name, "faults": channel.schedule.described()}


def _rates(asked: dict[str, str]) -> Rates:
    prompt = Decimal(asked["input"])
    cached = Decimal(asked["cached_input"]) if "cached_input" in asked else prompt
    return Rates(prompt, cached, Decimal(asked["output"]), asked.get("currency", "USD"))


def _validated(model: type[Body], raw: bytes) -> Body:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        details = orjson.dumps(error.errors(include_url=False, include_context=False, include_input=False))
        raise BadControlError(400, details.decode()) from error
