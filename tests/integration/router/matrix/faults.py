"""The faults that a provider is scripted with, and what each must come to: by their meaning, not by router's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FOREVER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a fault on every call of a channel comes to.

    `calls`: how often the channel is asked before the plan moves on. `told`: the class and the upstream's status of each of
    these attempts. `client`: what the client sees where nobody else may be asked. `burned`: the provider reports what it used.
    `exposed`: it may bill what it did not report. `final`: nobody else is asked, whoever could be. `midway`: the stream
    breaks after its first content. `answers`: it is no failure at all.
    """

    fault: dict[str, Any]
    client: int = 200
    told: tuple[str, int | None] = ("", None)
    calls: int = 2
    burned: bool = False
    exposed: bool = False
    final: bool = False
    midway: bool = False
    answers: bool = False


def _failed(fault: dict[str, Any], client: int, told: tuple[str, int | None], **more: Any) -> Expected:
    return Expected(fault={"times": FOREVER, **fault}, client=client, told=told, **more)


BOTH = {
    "ok": Expected(fault={"kind": "ok"}, answers=True),
    "slow": Expected(fault={"kind": "slow", "latency_ms": 300, "times": FOREVER}, answers=True),
    "400": _failed({"kind": "400"}, 400, ("invalid_request", 400), calls=1, final=True),
    "401": _failed({"kind": "401"}, 502, ("unauthorized", 401), calls=1),
    "429 for long": _failed({"kind": "429", "retry_after_s": 30}, 429, ("rate_limited", 429), calls=1),
    "429 for a moment": _failed({"kind": "429", "retry_after_s": 0.1}, 429, ("rate_limited", 429)),
    "500": _failed({"kind": "500"}, 502, ("upstream_error", 500)),
    "502": _failed({"kind": "502"}, 503, ("upstream_unavailable", 502)),
    "503": _failed({"kind": "503"}, 503, ("upstream_unavailable", 503)),
    "refuse": _failed({"kind": "refuse"}, 502, ("connection_failed", None), exposed=True),
    "timeout": _failed({"kind": "timeout"}, 504, ("timeout", None), exposed=True),
    "burned": _failed({"kind": "burned"}, 502, ("upstream_error", 500), burned=True),
}
PLAIN = {
    **BOTH,
    "cut": _failed({"kind": "cut"}, 502, ("connection_failed", None), exposed=True),
    "malformed": _failed({"kind": "malformed"}, 502, ("malformed_reply", 200), exposed=True),
}
MIDWAY = {"after_chunks": 9, "chunk_ms": 80}
"""Late enough that every dialect has said something before: a stream of responses opens with four events."""
STREAMED = {
    **BOTH,
    "cut at once": _failed({"kind": "cut", "after_chunks": 0}, 502, ("connection_failed", None), exposed=True),
    "malformed at once": _failed({"kind": "malformed", "after_chunks": 0}, 502, ("malformed_reply", 200), exposed=True),
    "cut": _failed({"kind": "cut", **MIDWAY}, 200, ("stream_cut", 200), calls=1, final=True, midway=True, exposed=True),
    "malformed": _failed(
        {"kind": "malformed", **MIDWAY}, 200, ("malformed_reply", 200), calls=1, final=True, midway=True, exposed=True
    ),
}
