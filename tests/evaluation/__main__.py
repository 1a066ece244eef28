"""`python -m tests.evaluation`: measure the alert rules, and write the table into docs/alerts.md with --write."""

import argparse
import sys
from pathlib import Path

from services.analytics.signals.rule_file import parse_rules
from tests.evaluation.measure import Size, measure
from tests.evaluation.report import insert, table

RULES = Path("deploy") / "catalog" / "alerts.yaml"
PAGE = Path("docs") / "alerts.md"
SEED = 20_261_125
"""Of the figures that are reported; the rules were tuned on others."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rules", type=Path, default=RULES)
    parser.add_argument("--incidents", type=int, default=Size().incidents)
    parser.add_argument("--keys", type=int, default=Size().keys)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}")
    asked = parser.parse_args()
    size = Size(incidents=asked.incidents, keys=asked.keys)
    figures = measure(parse_rules(asked.rules.read_text("utf-8")), asked.seed, size)
    text = table(figures, asked.seed)
    sys.stdout.write(text)
    if asked.write:
        PAGE.write_text(insert(PAGE.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main()
