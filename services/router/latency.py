"""How fast a place has lately been. Pure."""

from __future__ import annotations

SHARE_OF_NEWEST = 0.2
"""Of an average: about the last ten calls count."""


class Latencies:
    """Moving averages by upstream model, of whole replies and of the time to a stream's first chunk. Milliseconds."""

    __slots__ = ("_averages",)

    def __init__(self) -> None:
        self._averages: dict[tuple[str, bool], float] = {}

    def observe(self, upstream_model: str, ms: float, *, stream: bool) -> None:
        """A call took so long."""
        key = (upstream_model, stream)
        before = self._averages.get(key)
        self._averages[key] = ms if before is None else before + SHARE_OF_NEWEST * (ms - before)

    def recent_ms(self, upstream_model: str, *, stream: bool) -> float | None:
        """The average, None where no call was made yet."""
        return self._averages.get((upstream_model, stream))

    def described(self) -> list[dict[str, str | float]]:
        """Every average, for operators."""
        return [
            {"upstream_model": model, "of": "ttft" if stream else "reply", "recent_ms": round(ms, 3)}
            for (model, stream), ms in sorted(self._averages.items())
        ]
