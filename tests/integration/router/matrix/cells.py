"""The cells of the matrix, and the route table and the faults that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.integration.router.matrix.faults import PLAIN, STREAMED, Expected

Shape = Literal["alone", "near", "far"]
"""alone: one candidate, at fault. near: a good one of the same bucket follows, and one of another bucket. far: the one of the
same bucket is at fault too."""
SHAPES: tuple[Shape, ...] = ("alone", "near", "far")
DIALECTS = {"openai": "v1", "openai-responses": "v1", "anthropic": "v1", "gemini": "v1beta"}
GOOD = "mx-good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell. The channels at fault are its own, so that no other cell's failures rest them."""

    number: int
    fault: str
    stream: bool
    shape: Shape
    crossing: bool
    dialect: str

    @property
    def name(self) -> str:
        """As the test's id."""
        how = "stream" if self.stream else "plain"
        return f"{self.fault}, {how}, {self.shape}, {'may cross' if self.crossing else 'may not cross'}, {self.dialect}"

    @property
    def expected(self) -> Expected:
        """What its fault comes to."""
        return (STREAMED if self.stream else PLAIN)[self.fault]

    @property
    def provider(self) -> str:
        """The provider's channel that is at fault."""
        return f"mx-{'s' if self.stream else 'p'}-{self.fault.replace(' ', '-')}"

    @property
    def channels(self) -> list[tuple[str, str, str]]:
        """(id, route type, provider's channel) of each candidate, in the order of the plan."""
        first, second = ((f"c{self.number}{letter}", "direct", self.provider) for letter in "ab")
        if self.shape == "alone":
            return [first]
        return [
            first,
            second if self.shape == "far" else (f"{GOOD}-direct", "direct", GOOD),
            (f"{GOOD}-pooled", "pooled", GOOD),
        ]


def cells() -> list[Cell]:
    """All of them."""
    return [Cell(number=number, **facts) for number, facts in enumerate(_facts())]


def _facts() -> Iterator[dict[str, Any]]:
    for dialect in DIALECTS:
        for stream, faults in ((False, PLAIN), (True, STREAMED)):
            for fault in faults:
                for shape in SHAPES:
                    for crossing in (False, True):
                        facts = {"fault": fault, "stream": stream, "shape": shape, "crossing": crossing}
                        yield {**facts, "dialect": dialect}


def table(provider_url: str, all_cells: list[Cell]) -> dict[str, Any]:
    """A model for each cell."""
    channels, models = {}, []
    for cell in all_cells:
        candidates = []
        for position, (id_, route_type, provider) in enumerate(cell.channels):
            spoken = cell.dialect if position == 0 else "openai"
            channels[id_] = {
                "id": id_,
                "route_type": route_type,
                "brand": "sim",
                "dialect": spoken,
                "base_url": f"{provider_url}/{provider}/{DIALECTS[spoken]}",
                "keys": [{"secret": "sk-matrix"}],
                "cost_factor": "0.8",
            }
            candidates.append({"channel": id_, "upstream_model": "gpt-4o"})
        limits = {"max_input_tokens": 128_000, "max_output_tokens": 16_384}
        models.append({"id": f"c{cell.number}", "owned_by": "sim", **limits, "candidates": candidates})
    return {"version": 1, "channels": list(channels.values()), "models": models}
