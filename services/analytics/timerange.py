"""The time range of a dashboard query, cut into equal steps. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.analytics.errors import QueryRefusedError

STEPS_S = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 86_400, 604_800)
WANTED_BUCKETS = 120
MOST_BUCKETS = 1_000
MOST_SECONDS = 400 * 86_400
MICROS = 1_000_000
MINUTE_S, HOUR_S = 60, 3600
ROLLUPS = ("usage", "attempts", "fallbacks", "rejections", "spend")
Grain = Literal["raw", "minute", "hour"]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Whole steps from `since_s` to before `until_s`, in seconds since 1970: a bar never shows a part of its step only."""

    since_s: int
    until_s: int
    step_s: int

    @classmethod
    def of(cls, since: datetime, until: datetime, step_s: int | None) -> "TimeRange":
        """The steps that cover the instants; a fitting step if None is asked for. Raises :class:`QueryRefusedError`."""
        seconds = until.timestamp() - since.timestamp()
        if seconds <= 0:
            raise QueryRefusedError("from", "`from` must lie before `to`")
        if seconds > MOST_SECONDS:
            raise QueryRefusedError("from", f"the range is longer than {MOST_SECONDS // 86_400} days")
        step = step_s or next((s for s in STEPS_S if seconds / s <= WANTED_BUCKETS), STEPS_S[-1])
        if seconds / step > MOST_BUCKETS:
            raise QueryRefusedError("step", f"`step` gives more than {MOST_BUCKETS} steps: ask for longer ones")
        return cls(int(since.timestamp() // step * step), int(-(-until.timestamp() // step) * step), step)

    @property
    def buckets(self) -> list[int]:
        """The beginning of each step, in seconds since 1970."""
        return list(range(self.since_s, self.until_s, self.step_s))

    @property
    def grain(self) -> Grain:
        """What the steps are whole numbers of; `raw` where they are no whole minutes, as those of a short range are."""
        return "hour" if self.step_s % HOUR_S == 0 else "minute" if self.step_s % MINUTE_S == 0 else "raw"

    @property
    def parameters(self) -> dict[str, int | str]:
        """What the queries of `dashboard.sql` and `dashboard_raw.sql` take."""
        rolled = "hour" if self.grain == "hour" else "minute"
        spans = {"from_us": self.since_s * MICROS, "to_us": self.until_s * MICROS}
        seconds = {"from_s": self.since_s, "to_s": self.until_s, "step_s": self.step_s}
        return {**spans, **seconds, **{name: f"{name}_{rolled}" for name in ROLLUPS}}
