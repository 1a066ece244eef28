"""Route files are filled in from the environment, line by line, and a key's secret part stays on this side."""

from pathlib import Path

import pytest

from services.console.errors import BadFileError
from services.console.filling import filled
from services.console.route_commands import key_id_of
from services.console.route_file_commands import _shown, _yaml


@pytest.mark.parametrize(
    ("given", "sent"),
    [("Q7mZk2XvB9tL", "Q7mZk2XvB9tL"), ("sk-tb-Q7mZk2XvB9tL-aSecretPart123", "Q7mZk2XvB9tL"), ("sk-tb-short", "short")],
)
def test_only_the_public_part_of_a_key_is_sent(given: str, sent: str) -> None:
    assert key_id_of(given) == sent


def test_placeholders_are_filled_in_and_comments_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("# ${NOT_SET} says nothing\nbase_url: ${URL}/a/${PART}\n")
    assert filled(file, {"URL": "http://x", "PART": "b"}) == "# ${NOT_SET} says nothing\nbase_url: http://x/a/b\n"


def test_a_placeholder_without_a_value_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1\nbase_url: ${URL}\n")
    with pytest.raises(BadFileError, match=r"routes.yaml, line 2: URL is not set"):
        filled(file, {})


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "routes.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadFileError, match=r"routes.yaml cannot be read"):
        filled(file, {})


def test_fingerprints_of_digits_alone_stay_texts() -> None:
    assert "kept: '123456789012'" in _yaml({"version": 3, "table": {"channels": [{"keys": [{"kept": "123456789012"}]}]}})


def test_values_are_shown_as_json() -> None:
    assert (_shown(None), _shown("a"), _shown({"b": 1})) == ("nothing", '"a"', '{"b": 1}')
