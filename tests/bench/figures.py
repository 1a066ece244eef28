"""What a run found, as it is stored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tests.bench.quantiles import Quantiles


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lags(_Figures):
    """How far the record ran behind the replies."""

    event_to_ledger: Quantiles
    """RequestCompleted's `occurred_at` to the transaction's `committed_at`, over the requests of the cell."""

    event_to_clickhouse: Quantiles
    """As analytics reports it: event to queryable row, over its last five minutes."""

    drain_seconds: float
    """From the last reply until ledger and warehouse had caught up."""


class Measured(_Figures):
    """One cell against one target."""

    target: str
    cell: str
    connections: int
    stream: bool
    requests: int
    seconds: float
    per_second: float
    latency: Quantiles
    ttft: Quantiles
    chunks: int
    errors: int
    error_samples: list[str]
    generator_cpu_ms_per_request: float
    cpu_ms_per_request: dict[str, float]
    """By process, from the first request until the record had caught up; without generator and upstream."""

    latency_added: Quantiles | None = None
    ttft_added: Quantiles | None = None
    cpu_ms_per_chunk: float | None = None
    """What a streamed request costs beyond a plain one at as many connections, by its chunks; idle time left out of both."""

    lags: Lags | None = None

    @property
    def cpu_ms(self) -> float:
        """CPU per request over all processes."""
        return sum(self.cpu_ms_per_request.values())


class Machine(_Figures):
    """Where it ran, and what was switched on."""

    cores: int
    cpu: str
    memory_gib: float
    system: str
    python: str
    commit: str
    load_average: list[float]
    postgres: dict[str, str]
    versions: dict[str, str]


class Run(_Figures):
    """A whole run."""

    started_at: str
    seconds_per_cell: float
    machine: Machine
    idle_cpu_ms_per_second: dict[str, float]
    measured: list[Measured]
    failures: list[str]
    """Why parts of the run could not be made, if any could not."""

    def of(self, target: str) -> list[Measured]:
        """The cells of one target."""
        return [one for one in self.measured if one.target == target]

    def targets(self) -> list[str]:
        """Every target, in the order of its first cell."""
        return list(dict.fromkeys(one.target for one in self.measured))


def compared(measured: list[Measured], direct: str, idle_ms_per_s: float = 0.0) -> list[Measured]:
    """Fill in what each target adds to the direct call, and what a chunk costs it.

    `idle_ms_per_s` is the CPU that the stack takes while nothing is asked of it: a paced stream lasts seconds, and its chunks
    are not to blame for these.
    """
    base = {one.cell: one for one in measured if one.target == direct}
    plain = {(one.target, one.connections): one for one in measured if not one.stream}
    return [_compared(one, base.get(one.cell), plain.get((one.target, one.connections)), idle_ms_per_s) for one in measured]


def busy_ms(one: Measured, idle_ms_per_s: float) -> float:
    """CPU per request beyond what the stack takes anyway in as much time."""
    seconds = one.seconds + (one.lags.drain_seconds if one.lags else 0.0)
    return one.cpu_ms - idle_ms_per_s * seconds / max(one.requests, 1)


def _compared(one: Measured, direct: Measured | None, plain: Measured | None, idle_ms_per_s: float) -> Measured:
    if direct is None or direct is one:
        return one
    per_chunk = None
    if one.stream and plain is not None and one.chunks and plain.requests:
        per_chunk = (busy_ms(one, idle_ms_per_s) - busy_ms(plain, idle_ms_per_s)) / (one.chunks / one.requests)
    return one.model_copy(
        update={
            "latency_added": one.latency.over(direct.latency),
            "ttft_added": one.ttft.over(direct.ttft) if one.stream else None,
            "cpu_ms_per_chunk": per_chunk,
        }
    )
