"""What the meter has to say: in whatever order samples come, by whatever clock, and however much it is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from services.analytics.alerts.verdict import Verdict
from services.analytics.meter.reporting import Reporter
from services.analytics.meter.watch import Watch
from services.analytics.signals.overrides import Subject

NOW_S = 1_000_000


class Bound:
    """A judge to whom everything exceeds from one second on."""

    def __init__(self, since: int = 0) -> None:
        self.since = since
        self.judged: list[int] = []

    def judge(self, subject: Subject, second: int) -> list[Verdict]:
        self.judged.append(second)
        end = datetime.fromtimestamp(second + 1, UTC)
        exceeded = second >= self.since
        return [
            Verdict(
                rule="runaway", signal="tokens_per_minute_by_key", subject_kind=subject.kind, subject_id=subject.id,
                exceeded=exceeded, calm=not exceeded, observed=2.0, threshold=1.0, unit="tokens/min",
                window_start=end - timedelta(minutes=1), window_end=end,
            )
        ]  # fmt: skip


def key(name: str) -> Subject:
    return Subject(kind="key", id=name, key=name)


def open_rows(verdicts: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Their alerts, as analytics says that they are open."""
    whose = {"account_id": "", "project_id": "", "environment": ""}
    return [whose | {name: each[name] for name in ("rule", "subject_kind", "subject_id")} for each in verdicts]


def test_what_a_late_sample_adds_to_the_newest_window_is_judged() -> None:
    judge = Bound(since=NOW_S + 5)
    watch = Watch(judge, lambda: NOW_S + 9.0)
    watch.see(key("k"), NOW_S + 4)
    judge.since = NOW_S + 4
    assert watch.see(key("k"), NOW_S)
    assert judge.judged == [NOW_S + 4, NOW_S, NOW_S + 4]
    assert [verdict.window_end.timestamp() for verdict in watch.verdicts()] == [NOW_S + 5]
    watch.see(key("k"), NOW_S - 60)
    assert judge.judged[3:] == [NOW_S - 60]


def test_a_clock_that_is_far_ahead_is_a_lag_too() -> None:
    watch = Watch(Bound(), lambda: float(NOW_S))
    for second, lag_s in ((NOW_S - 31, 30), (NOW_S + 30, 0), (NOW_S + 3_599, 3_600)):
        watch.heard_sample(second)
        assert watch.lag_s == lag_s


async def test_however_many_alerts_are_open_each_is_told_of_at_every_beat() -> None:
    judge = Bound()
    watch = Watch(judge, lambda: float(NOW_S))
    known: dict[str, dict[str, str]] = {}
    calm: set[str] = set()

    def analytics(request: httpx.Request) -> httpx.Response:
        for each in orjson.loads(request.content)["verdicts"]:
            known[each["subject_id"]] = each
            calm.update({each["subject_id"]} if each["calm"] else ())
        return httpx.Response(200, json={"open": open_rows(list(known.values()))})

    reporter = Reporter(watch, "http://analytics", "token", "meter", httpx.MockTransport(analytics))
    for number in range(2_500):
        watch.see(key(f"k{number}"), NOW_S)
    reporter.news()
    await reporter.beat()
    assert watch.open_count == 2_500
    judge.since = NOW_S + 1
    reporter.news()
    await reporter.beat()
    await reporter.close()
    assert len(calm) == 2_500
