"""What analytics tells of itself, asked all the time: readiness, lag, memory, and the calls of those who look at figures."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.analytics.process import Analytics

PAUSE_S = 0.25
PATIENCE_S = 120.0
CALLS = ("/admin/lag", "/admin/dashboard/series", "/admin/dashboard/tables", "/admin/usage")
GAUGES = ("tollbook_analytics_lag_seconds", "tollbook_analytics_lag_records", "tollbook_analytics_rows_total")


@dataclass(frozen=True)
class Look:
    """One look at the process."""

    at: float
    ready: bool
    reason: str
    lag_s: float
    lag_records: float
    rows: float
    rss_bytes: int


@dataclass
class Watch:
    """Everything that was seen, in order. `answers` counts (call, status), `slowest_s` is per call."""

    looks: list[Look] = field(default_factory=list)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest_s: dict[str, float] = field(default_factory=dict)
    without_retry_after: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def last(self) -> Look:
        """The latest look."""
        return self.looks[-1]

    def since(self, at: float) -> list[Look]:
        """The looks from then on."""
        return [look for look in self.looks if look.at >= at]


@contextmanager
def watching(analytics: Analytics) -> Iterator[Watch]:
    """Look and ask until the block ends, each in a thread of its own: a call that hangs holds no other up."""
    watch, ended = Watch(), threading.Event()
    threads = [threading.Thread(target=_again, args=(ended, watch, lambda: _look(analytics, watch)))]
    threads += [threading.Thread(target=_again, args=(ended, watch, _asking(analytics, watch, path))) for path in CALLS]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _again(ended: threading.Event, watch: Watch, do: Callable[[], None]) -> None:
    while not ended.wait(PAUSE_S):
        try:
            do()
        except httpx.HTTPError as error:
            watch.failures.append(repr(error))


def _look(analytics: Analytics, watch: Watch) -> None:
    ready = httpx.get(f"{analytics.url}/readyz", timeout=PATIENCE_S)
    sums = _metrics(httpx.get(f"{analytics.url}/metrics", timeout=PATIENCE_S).text)
    lag_s, lag_records, rows = (sums[name] for name in GAUGES)
    reason = "" if ready.status_code == 200 else str(ready.json()["reason"])
    watch.looks.append(Look(time.monotonic(), ready.status_code == 200, reason, lag_s, lag_records, rows, _rss(analytics.pid)))


def _asking(analytics: Analytics, watch: Watch, path: str) -> Callable[[], None]:
    def ask() -> None:
        begun = time.monotonic()
        answer = httpx.get(f"{analytics.url}{path}", headers=analytics.as_operator, timeout=PATIENCE_S)
        watch.answers[path, answer.status_code] += 1
        watch.slowest_s[path] = max(watch.slowest_s.get(path, 0.0), time.monotonic() - begun)
        watch.without_retry_after += answer.status_code == 503 and "retry-after" not in answer.headers

    return ask


def _metrics(text: str) -> dict[str, float]:
    sums = dict.fromkeys(GAUGES, 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in sums:
                sums[sample.name] += sample.value
    return sums


def _rss(pid: int) -> int:
    """Resident memory of the process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
