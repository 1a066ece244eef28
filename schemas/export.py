"""`python -m schemas.export` writes the JSON Schema of every event and of the control record under `schemas/json/`.

It refuses to write a schema that would no longer read what was written under the one on disk: such a change needs a new
version. With `--check` it writes nothing and fails where the files are not today's models'.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas import topics
from schemas.compatibility import breaks
from schemas.control import ControlRecord
from schemas.registry import EVENTS

JSON_DIR = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 1


def models() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """(topic, type name, model) of everything that is written to a topic."""
    for topic, types in EVENTS.items():
        for name, model in types.items():
            yield topic, name, model
    yield topics.CONTROL, ControlRecord.__name__, ControlRecord


def path_of(topic: str, name: str, directory: Path = JSON_DIR) -> Path:
    """Where the schema of a type lies."""
    return directory / topic / f"{name}.v{VERSION}.schema.json"


def schema_of(topic: str, name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Today's schema of a type, as a reader needs it: fields with a default may be missing."""
    return {"$schema": DIALECT, "$id": f"{topic}/{name}.v{VERSION}", **model.model_json_schema(mode="validation")}


def render(schema: dict[str, Any]) -> str:
    """The schema as the file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def differences(directory: Path = JSON_DIR) -> list[str]:
    """How the files differ from today's models: missing, changed or left over."""
    expected = {path_of(topic, name, directory): render(schema_of(topic, name, model)) for topic, name, model in models()}
    found = set(directory.glob("tollbook.*/*.schema.json"))
    return [
        *(f"{path.name} is missing" for path in sorted(expected.keys() - found)),
        *(f"{path.name} belongs to no model" for path in sorted(found - expected.keys())),
        *(
            f"{path.name} is not today's"
            for path in sorted(expected.keys() & found)
            if path.read_text("utf-8") != expected[path]
        ),
    ]


def incompatibilities(directory: Path = JSON_DIR) -> list[str]:
    """What today's models would refuse or forget of the schemas on disk."""
    found: list[str] = []
    for topic, name, model in models():
        path = path_of(topic, name, directory)
        if path.exists():
            old = json.loads(path.read_text("utf-8"))
            found += [f"{topic} {name}: {reason}" for reason in breaks(old, schema_of(topic, name, model))]
    return found


def write(directory: Path = JSON_DIR) -> None:
    """Write every schema."""
    for topic, name, model in models():
        path = path_of(topic, name, directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(schema_of(topic, name, model)), "utf-8")


def main(arguments: Sequence[str] | None = None, directory: Path = JSON_DIR) -> int:
    """Export or check; the exit status is 1 where something does not fit."""
    parser = argparse.ArgumentParser(prog="python -m schemas.export", description="Export the JSON Schemas of all events.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the files are not today's")
    check = parser.parse_args(arguments).check
    problems = incompatibilities(directory) + (differences(directory) if check else [])
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write("an incompatible change needs a new version; any other is written by `python -m schemas.export`\n")
        return 1
    if not check:
        write(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
