"""The exporter writes every schema, says what differs, and never writes over a schema that it would break."""

import json
from pathlib import Path

import pytest

from schemas import export, topics
from schemas.export import path_of


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A directory with today's schemas."""
    assert export.main([], tmp_path) == 0
    return tmp_path


def change(path: Path, **changes: object) -> None:
    """Change the top of a schema file."""
    path.write_text(export.render(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def test_what_was_exported_passes_the_check(exported: Path) -> None:
    assert export.differences(exported) == []
    assert export.main(["--check"], exported) == 0


def test_there_is_one_file_for_every_event_and_the_control_record(exported: Path) -> None:
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*.json")}
    assert f"{topics.CONTROL}/ControlRecord.v1.schema.json" in files
    assert len(files) == len(list(export.models()))


def test_the_check_names_a_missing_file(exported: Path) -> None:
    path_of(topics.DEAD, "DeadLetter", exported).unlink()
    assert export.differences(exported) == ["DeadLetter.v1.schema.json is missing"]
    assert export.main(["--check"], exported) == 1


def test_the_check_names_a_stale_file(exported: Path) -> None:
    change(path_of(topics.DEAD, "DeadLetter", exported), description="old words")
    assert export.differences(exported) == ["DeadLetter.v1.schema.json is not today's"]
    assert export.main([], exported) == 0
    assert export.differences(exported) == []


def test_the_check_names_a_file_that_no_model_has(exported: Path) -> None:
    path_of(topics.DEAD, "Gone", exported).write_text("{}", "utf-8")
    assert export.differences(exported) == ["Gone.v1.schema.json belongs to no model"]


def test_a_breaking_change_is_not_written(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = path_of(topics.DEAD, "DeadLetter", exported)
    fields = json.loads(path.read_text("utf-8"))["properties"]
    change(path, properties={**fields, "severity": {"type": "string"}})
    before = path.read_text("utf-8")
    assert export.main([], exported) == 1
    assert "tollbook.dead.v1 DeadLetter: $.severity is gone" in capsys.readouterr().err
    assert path.read_text("utf-8") == before
