"""Which keys the meter has something to say about, and what: told again every second, so that no one message matters."""

from collections.abc import Callable, Iterable, Mapping

from services.analytics.alerts.verdict import Verdict
from services.analytics.meter.windows import TokenWindows
from services.analytics.velocity import RULE, SIGNAL, Subject, Thresholds, verdict_on

SIGNALS = (SIGNAL,)
LAG_REMEMBERED_S = 15.0


class Watch:
    """Keys that exceeded, until analytics knows; and those about which analytics has an open alert, until it is over."""

    def __init__(self, windows: TokenWindows, thresholds: Thresholds, clock: Callable[[], float]) -> None:
        self._windows = windows
        self._thresholds = thresholds
        self._clock = clock
        self._owed: dict[str, Verdict] = {}
        self._open: dict[str, tuple[Subject, int]] = {}
        self._lag = (0.0, 0.0)

    def see(self, subject: Subject, second: int) -> bool:
        """Judge a key by the sixty seconds that end with a sample's; whether analytics has to hear of it at once.

        Samples of one batch come in no order of their seconds: an older one does not call off what a newer one began.
        """
        verdict = self._judged(subject, second)
        if not verdict.exceeded:
            return False
        is_news = subject.key_id not in self._open and subject.key_id not in self._owed
        self._owed[subject.key_id] = verdict
        return is_news

    def heard_sample(self, second: int) -> None:
        """A sample of that second was read just now: how far behind the meter is."""
        now_s = self._clock()
        self._lag = (now_s, max(0.0, now_s - (second + 1)))

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
        standing = [self._judged(subject, max(last_full_second, second)) for subject, second in self._open.values()]
        return [*self._owed.values(), *standing]

    def heard(self, told: Iterable[Verdict], still_open: Iterable[Mapping[str, str]]) -> None:
        """Analytics has taken these verdicts, and says which alerts are open now."""
        seconds = {key_id: second for key_id, (_, second) in self._open.items()}
        for verdict in told:
            if verdict.exceeded:
                second = int(verdict.window_end.timestamp()) - 1
                seconds[verdict.subject_id] = max(second, seconds.get(verdict.subject_id, 0))
            if self._owed.get(verdict.subject_id) == verdict:
                del self._owed[verdict.subject_id]
        self._open = {
            row["subject_id"]: (_subject(row), seconds.get(row["subject_id"], 0)) for row in still_open if row["rule"] == RULE
        }

    @property
    def open_count(self) -> int:
        """How many keys have an open alert."""
        return len(self._open)

    def _judged(self, subject: Subject, second: int) -> Verdict:
        observed = self._windows.last_minute(subject.key_id, second)
        return verdict_on(subject, observed, self._thresholds.of(subject.key_id), second)


def _subject(row: Mapping[str, str]) -> Subject:
    return Subject(
        account_id=row["account_id"],
        key_id=row["subject_id"],
        project_id=row["project_id"],
        environment=row["environment"],
    )
