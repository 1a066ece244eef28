"""Files are named after one noun, and say nothing of the machine that they were written on."""

import re

from tests.house.tracked import files, python_files, text

SHAPELESS = {"utils", "util", "common", "helpers", "helper", "core", "manager", "managers", "misc"}
# Put together here, so that this file does not break its own rule.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
]
MACHINE_PATHS = [f"/{part}/" for part in ("work", "tmp/w", "root", "home", "Users")]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """`file:line` of every tracked line that the pattern is found in."""
    return [
        f"{path}:{number}" for path in files() for number, line in enumerate(text(path).splitlines(), 1) if pattern.search(line)
    ]


def test_no_file_or_folder_has_a_name_that_could_hold_anything() -> None:
    found = [
        str(path)
        for path in python_files()
        if SHAPELESS & {word for part in path.with_suffix("").parts for word in part.split("_")}
    ]
    assert found == []


def test_no_tracked_file_names_a_package_registrys_host() -> None:
    hosts = "|".join(re.escape(host) for host in REGISTRY_HOSTS)
    assert lines_with(re.compile(rf"(?<![\w-])({hosts})(?![\w-])")) == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    paths = "|".join(re.escape(path) for path in MACHINE_PATHS)
    assert lines_with(re.compile(rf"(?<![\w.}}~$-])({paths})")) == []
