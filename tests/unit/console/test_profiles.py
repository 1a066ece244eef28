"""The file of profiles: its owner's alone, replaced as a whole, and no token is ever shown."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.console.cli import main
from services.console.errors import BadFileError, UnknownProfileError
from services.console.profiles import Profile, Profiles, read_profiles, write_profiles

TOKEN = "tbu-0123456789ab-secret"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line with settings of its own and no stack."""
    for name in ("TOLLBOOK_HOME", "TOLLBOOK_PROFILE", "TOLLBOOK_TOKEN", "TOLLBOOK_ADMIN_TOKEN", "TOLLBOOK_EDGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOLLBOOK_CONFIG_DIR", str(tmp_path))

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, said.out, said.err

    return command


def stored(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "profiles.json").read_text())
    return found


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "profiles.json"
    write_profiles(file, Profiles(current="a", by_name={"a": Profile(edge_url="http://e", token=TOKEN)}))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read_profiles(file).of("a").token == TOKEN


def test_a_file_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    write_profiles(file, Profiles())
    file.chmod(0o640)
    with pytest.raises(BadFileError, match="chmod 600"):
        read_profiles(file)


@pytest.mark.parametrize("content", ["[1]", "{", '{"profiles": 3}', '{"profiles": {"a": 3}}'])
def test_a_file_that_means_nothing_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "profiles.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(BadFileError, match=r"profiles\.json"):
        read_profiles(file)


def test_no_file_is_no_profiles(tmp_path: Path) -> None:
    assert read_profiles(tmp_path / "none.json") == Profiles()
    with pytest.raises(UnknownProfileError, match="profile list"):
        Profiles().of("a")


def test_the_first_profile_is_used_and_another_one_on_demand(run: Run, tmp_path: Path) -> None:
    assert run("profile", "add", "one", "--edge-url", "http://one/")[0] == 0
    assert run("profile", "add", "two", "--edge-url", "http://two", "--account", "acc_1")[0] == 0
    assert stored(tmp_path)["current"] == "one"
    assert run("profile", "use", "two")[0] == 0
    code, out, _ = run("profile", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)["data"]}
    assert (code, rows["two"]["in_use"], rows["one"]["in_use"], rows["stack"]["in_use"]) == (0, True, False, False)
    assert (rows["one"]["edge_url"], rows["two"]["account"]) == ("http://one", "acc_1")
    assert run("profile", "use", "stack")[0] == 0
    assert stored(tmp_path)["current"] is None


def test_no_command_prints_a_token(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    profile = Profile(edge_url="http://e", token=TOKEN, api_key="sk-tb-hidden")
    write_profiles(file, Profiles(current="a", by_name={"a": profile}))
    said = [
        run("profile", verb, *more, *form)
        for verb, more in (("list", ()), ("show", ("a",)), ("use", ("a",)))
        for form in ((), ("--json",))
    ]
    assert all(code == 0 for code, _, _ in said)
    assert not any("secret" in out + err or "hidden" in out + err for _, out, err in said)
    assert "secret" not in repr(profile)


def test_another_address_takes_the_token_away_with_the_old_one(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    write_profiles(file, Profiles(by_name={"a": Profile(edge_url="http://e", token=TOKEN)}))
    run("profile", "add", "a", "--account", "acc_1")
    assert stored(tmp_path)["profiles"]["a"] == {"edge_url": "http://e", "token": TOKEN, "account": "acc_1"}
    run("profile", "add", "a", "--edge-url", "http://elsewhere")
    assert stored(tmp_path)["profiles"]["a"] == {"edge_url": "http://elsewhere", "account": "acc_1"}


def test_a_profile_is_forgotten_only_with_a_yes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("profile", "add", "a", "--edge-url", "http://e")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    code, _, err = run("profile", "remove", "a")
    assert (code, "give --yes" in err) == (3, True)
    assert run("profile", "remove", "a", "--yes")[0] == 0
    assert stored(tmp_path) == {"current": None, "profiles": {}}
    code, _, err = run("profile", "remove", "a", "--yes")
    assert (code, "no profile 'a'" in err) == (3, True)


@pytest.mark.parametrize("name", ["stack", "", "../x", "a b", "-"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(run: Run, name: str) -> None:
    code, _, _ = run("profile", "add", "--edge-url", "http://e", "--", name)
    assert code == 3


def test_a_token_goes_nowhere_without_being_checked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLBOOK_TOKEN", TOKEN)
    code, _, err = run("--edge-url", "http://127.0.0.1:9", "--profile", "new", "login")
    assert (code, "edge does not answer" in err) == (3, True)
    assert not (tmp_path / "profiles.json").exists()


def test_logging_out_of_nothing_is_said(run: Run) -> None:
    assert run("logout")[:2] == (0, "nobody is logged in\n")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://ann:SECRET@edge.example/base", "https://***@edge.example/base"),
        ("http://:SEC/RET@127.0.0.1:1", "http://***@127.0.0.1:1"),
        ("ann:SECRET@edge.example", "***@edge.example"),
        ("https://edge.example", "https://edge.example"),
    ],
)
def test_no_command_prints_a_password_that_stands_in_a_url(run: Run, tmp_path: Path, given: str, shown: str) -> None:
    urls = [word for url in ("edge", "router", "settlement", "analytics") for word in (f"--{url}-url", given)]
    printed = [run("profile", "add", "one", *urls)]
    for command in ("list", "show", "use"):
        name = ["one"] if command != "list" else []
        printed += [run("profile", command, *name), run("profile", command, *name, "--json")]
    assert {code for code, _, _ in printed} == {0}
    for _, out, err in printed:
        assert "SEC" not in out + err
        assert "RET" not in out + err
    assert json.loads(run("profile", "show", "one", "--json")[1])["edge_url"] == shown
    assert stored(tmp_path)["profiles"]["one"]["edge_url"] == given, "it is used as it was given"
