"""Grafana's dashboards as the data source would ask them: each panel's SQL with its macros and variables put in.

The macros are those of Grafana's ClickHouse data source; a time range and a step stand for the panel's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboards"


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel. `series` is whether Grafana draws it over time."""

    dashboard: str
    panel: str
    kind: str
    series: bool
    sql: str


def dashboards() -> dict[str, Any]:
    """Every provisioned dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def targets() -> Iterator[Target]:
    """Every query of every panel, and of the annotations."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield Target(name, panel["title"], panel["type"], target["queryType"] == "timeseries", target["rawSql"])
        for annotation in board["annotations"]["list"]:
            yield Target(name, annotation["name"], "annotation", False, annotation["target"]["rawSql"])


def expanded(sql: str, since: datetime, until: datetime, step_s: int, variables: Mapping[str, str]) -> str:
    """The SQL that reaches ClickHouse. Raises ValueError where something is left that nobody puts in."""
    begin, end = (f"toDateTime({int(instant.timestamp())})" for instant in (since, until))
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {begin} AND \1 <= {end}", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", rf"toStartOfInterval(toDateTime(\1), INTERVAL {step_s} second)", sql)
    sql = re.sub(r"\$\{(\w+):sqlstring\}", lambda found: _quoted(variables[found.group(1)]), sql)
    if "$" in sql:
        raise ValueError(f"left over: {sql[sql.index('$') :][:40]}")
    return sql


def _quoted(value: str) -> str:
    """A text as Grafana's `sqlstring` writes it: quotes doubled."""
    return "'" + value.replace("'", "''") + "'"
