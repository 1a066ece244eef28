"""What goes wrong, when: faults scripted per channel, consumed in order or drawn from a seeded generator."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FAULTS_PER_CHANNEL_MAX = 1_000
NAMED_KINDS = frozenset({"ok", "refuse", "timeout", "cut", "malformed", "burned", "slow"})
"""Beside these, every HTTP status from 400 to 599 is a kind of its own: "429", "500", "503"."""


class Fault(BaseModel):
    """One scripted fault.

    Either `times` (that many requests in a row, default 1) or `probability` (each request draws, from a
    generator seeded by `seed`) says when. Kind "ok" lets a request pass, to place a fault after it.
    `billed` overrides whether the provider's invoice counts the request.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str
    times: int | None = Field(default=None, ge=1, le=1_000_000_000)
    probability: float | None = Field(default=None, ge=0, le=1)
    seed: int = 0
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after_s: float | None = Field(default=None, ge=0, le=3_600)
    after_chunks: int = Field(default=3, ge=0)
    latency_ms: float | None = Field(default=None, ge=0, le=600_000)
    chunk_ms: float | None = Field(default=None, ge=0, le=600_000)
    billed: bool | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind in NAMED_KINDS or (kind.isdigit() and 400 <= int(kind) <= 599):
            return kind
        known = ", ".join(sorted(NAMED_KINDS))
        raise ValueError(f"unknown kind {kind!r}: a status from 400 to 599, or one of {known}")

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if self.times is not None and self.probability is not None:
            raise ValueError("give times or probability, not both")
        return self


class _Entry:
    """A fault with what is left of it."""

    __slots__ = ("draw", "fault", "left")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = 1 if fault.times is None else fault.times
        self.draw = Random(fault.seed)  # noqa: S311  # a schedule that repeats, not a secret

    def fires(self) -> bool:
        if self.fault.probability is None:
            self.left -= 1
            return True
        return self.draw.random() < self.fault.probability

    def described(self) -> dict[str, Any]:
        described = self.fault.model_dump(exclude_none=True)
        if self.fault.probability is None:
            described["times"] = self.left
        return described


class Schedule:
    """The faults of one channel. The first that fires takes the request; a used-up one is dropped."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, faults: Iterable[Fault]) -> None:
        """Append `faults`. Raises ValueError where the channel would hold more than its bound."""
        entries = [_Entry(fault) for fault in faults]
        if len(self._entries) + len(entries) > FAULTS_PER_CHANNEL_MAX:
            raise ValueError(f"a channel holds at most {FAULTS_PER_CHANNEL_MAX} faults")
        self._entries.extend(entries)

    def clear(self) -> None:
        """Forget every fault."""
        self._entries.clear()

    def take(self) -> Fault | None:
        """The fault that befalls this request, or None."""
        for entry in self._entries:
            if entry.fires():
                if entry.left == 0:
                    self._entries.remove(entry)
                return entry.fault
        return None

    def described(self) -> list[dict[str, Any]]:
        """What is still scripted, in order, with what is left of each."""
        return [entry.described() for entry in self._entries]
