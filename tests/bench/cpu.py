"""CPU time of processes and their children."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from tests.bench.errors import BenchError


class CpuMeter:
    """CPU since the last `reset`, by process: each with its whole tree, ended children included."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Count from now on."""
        self._before = self._sample()

    def spent_ms(self) -> dict[str, float]:
        """Milliseconds of CPU since the reset, by process."""
        return {name: (now - self._before[name]) * 1000 for name, now in self._sample().items()}

    def _sample(self) -> dict[str, float]:
        return {name: _tree_seconds(name, pid) for name, pid in self._pids.items()}


def _tree_seconds(name: str, pid: int) -> float:
    try:
        root = psutil.Process(pid)
        return _seconds(root) + sum(_seconds(child) for child in root.children(recursive=True))
    except psutil.NoSuchProcess as error:
        raise BenchError(f"{name} (pid {pid}) is not there any more: see its log, the run means nothing") from error


def _seconds(process: psutil.Process) -> float:
    """A process's own time and that of its ended children; 0 for one that ended while we looked."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
