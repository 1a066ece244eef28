"""`python -m services.analytics.signals.rule_schema` writes the JSON Schema of rule files, which editors check them by.

It says what the parser says, but for what no schema can: that a rule's id stands once and that its receivers are in the file.
With `--check` it writes nothing and fails where the file is not today's.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.alert_rules import AlertRules

FILE = Path(__file__).resolve().parents[3] / "schemas" / "json" / "files" / "alerts.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Today's schema of a rule file."""
    found = AlertRules.model_json_schema(mode="validation", by_alias=True)
    found["$defs"]["Match"]["minProperties"] = 1
    for row in (found, *found["$defs"].values()):
        row.pop("description", None)
    return {"$schema": DIALECT, "$id": "tollbook/alerts", **found, "title": "Tollbook's alert rules"}


def render() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Export or check; the exit status is 1 where the file is not today's."""
    parser = argparse.ArgumentParser(
        prog="python -m services.analytics.signals.rule_schema", description="Export the schema of alert rules."
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the file is not today's")
    if parser.parse_args(arguments).check:
        if file.is_file() and file.read_text("utf-8") == render():
            return 0
        sys.stderr.write(f"{file.name} is not today's: write it by `make schemas`\n")
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
