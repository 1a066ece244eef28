"""Each golden file is what the dialects and the client APIs make of its beginning, to the last character."""

from typing import Any

import orjson
import pytest

from tests.unit.router.golden.translations import FILES, golden, path_of

CASES = dict(golden())


@pytest.mark.parametrize("name", CASES)
def test_a_translation_is_the_golden_one(name: str) -> None:
    kept: Any = orjson.loads(path_of(name).read_bytes())
    assert kept == CASES[name]


def test_every_golden_file_has_its_case() -> None:
    assert {path.name for path in FILES.iterdir()} == {path_of(name).name for name in CASES}
