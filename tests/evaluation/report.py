"""The table of the figures, as docs/alerts.md shows it."""

from tests.evaluation.measure import Figures

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "| signal | incidents found | recall (95% at least) | delay p50 / p90 / most | false alerts in {days:,.0f} key-days "
    "| per 1,000 key-days (95% at most) |\n|---|---|---|---|---|---|\n"
)


def table(figures: dict[str, Figures], seed: int) -> str:
    """Markdown."""
    first = next(iter(figures.values()))
    rows = [_row(signal, each) for signal, each in figures.items()]
    delays = figures["tokens_per_minute_by_key"].runaway_delays_s
    runaway = (
        f"\nThe key that goes from 20,000 tokens an hour to 2,000,000 in ten minutes ({len(delays)} times): found "
        f"{min(delays)} to {max(delays)} s after it began.\n"
        if delays
        else ""
    )
    return HEAD.format(days=first.key_days) + "".join(rows) + runaway + f"\nSeed {seed}; `make evaluate-alerts` repeats it.\n"


def _row(signal: str, each: Figures) -> str:
    delay = f"{each.median_s:.0f} / {each.delay_s(0.9):.0f} / {each.delay_s(1.0):.0f} s" if each.delays_s else "none"
    return (
        f"| `{signal}` | {each.found} of {each.injected} | {each.recall:.0%} ({each.recall_lower:.0%}) | {delay} "
        f"| {each.false} | {each.false_per_1000:.2f} ({each.false_upper:.2f}) |\n"
    )


def insert(page: str, text: str) -> str:
    """The page with the text between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"
