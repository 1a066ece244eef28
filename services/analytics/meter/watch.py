"""What the meter has something to say about, and what: told again every second, so that nothing depends on one message."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from services.analytics.alerts.verdict import About, Verdict
from services.analytics.signals.overrides import Subject
from services.analytics.velocity import WINDOW_S, is_untimely

LAG_REMEMBERED_S = 15.0
MOST_SEEN = 50_000


class Judging(Protocol):
    """What says how a subject stands."""

    def judge(self, subject: Subject, second: int) -> list[Verdict]:
        """By the windows that end with the second, in the words of every rule that watches the subject."""


class _Open(NamedTuple):
    """An open alert's subject, and the last second of the window that it began with."""

    subject: Subject
    second: int


class _Seen(NamedTuple):
    """A subject, and the newest second of its samples."""

    subject: Subject
    second: int


class Watch:
    """Subjects that exceeded, until analytics knows; and those about which analytics has an open alert, until it is over."""

    def __init__(self, judging: Judging, clock: Callable[[], float]) -> None:
        self._judging = judging
        self._clock = clock
        self._owed: dict[About, Verdict] = {}
        self._open: dict[About, _Open] = {}
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._lag = (0.0, 0.0)

    def see(self, subject: Subject, second: int) -> bool:
        """Judge a subject by the windows that end with a sample's second; whether analytics has to hear of it at once.

        Samples come in no order of their seconds: an older one does not call off what a newer one began, and it adds to the
        windows that end with the newest, which are judged too.
        """
        newest = self._newest(subject, second)
        ends = [second, newest] if second < newest < second + WINDOW_S else [second]
        is_news = False
        for verdict in (each for end in ends for each in self._judging.judge(subject, end)):
            if verdict.exceeded:
                is_news = is_news or (verdict.about not in self._open and verdict.about not in self._owed)
                self._owed[verdict.about] = verdict
        return is_news

    def _newest(self, subject: Subject, second: int) -> int:
        """Remember the subject, in place of the one that was not seen for longest; the newest second of its samples."""
        before = self._seen.pop((subject.kind, subject.id), None)
        newest = second if before is None else max(before.second, second)
        self._seen[subject.kind, subject.id] = _Seen(subject, newest)
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return newest

    def heard_sample(self, second: int) -> None:
        """A sample of that second was read just now: how far behind the meter is, or how far apart clocks are."""
        now_s = self._clock()
        behind_s = now_s - (second + 1)
        self._lag = (now_s, abs(behind_s) if is_untimely(second, now_s) else max(0.0, behind_s))

    @property
    def lag_s(self) -> float:
        """How old the sample was that came last; 0 where none came lately."""
        at_s, lag_s = self._lag
        return lag_s if self._clock() - at_s < LAG_REMEMBERED_S else 0.0

    def verdicts(self) -> list[Verdict]:
        """What there is to say: what exceeded and was not heard yet, then how open alerts stand by the last full second.

        A clock ahead of ours may have begun an alert in a second that is still to come: it is judged by that one.
        """
        last_full_second = int(self._clock()) - 1
        standing = []
        for subject, second in {(each.subject, max(last_full_second, each.second)) for each in self._open.values()}:
            standing += [verdict for verdict in self._judging.judge(subject, second) if verdict.about in self._open]
        return [*self._owed.values(), *standing]

    def heard(self, told: Iterable[Verdict], still_open: Iterable[Mapping[str, Any]]) -> None:
        """Analytics has taken these verdicts, and says which alerts are open now."""
        seconds = {about: found.second for about, found in self._open.items()}
        for verdict in told:
            if verdict.exceeded:
                second = int(verdict.window_end.timestamp()) - 1
                seconds[verdict.about] = max(second, seconds.get(verdict.about, 0))
            if self._owed.get(verdict.about) == verdict:
                del self._owed[verdict.about]
        abouts = [(About(row["rule"], row["subject_kind"], row["subject_id"]), row) for row in still_open]
        self._open = {about: _Open(self._subject(row), seconds.get(about, 0)) for about, row in abouts}

    @property
    def open_count(self) -> int:
        """How many alerts are open."""
        return len(self._open)

    def _subject(self, row: Mapping[str, Any]) -> Subject:
        """The subject of an open alert: as it was seen, or as analytics names it after a restart."""
        kind, name = row["subject_kind"], row["subject_id"]
        if (seen := self._seen.get((kind, name))) is not None:
            return seen.subject
        own = {"key": name} if kind == "key" else {"channel": name}
        return Subject(
            kind=kind, id=name, account=row["account_id"], project=row["project_id"], environment=row["environment"], **own
        )
