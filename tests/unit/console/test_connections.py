"""Which installation a command is about: one, and never half of another."""

import json
from pathlib import Path

import pytest

from services.console.addresses import Addresses, Given
from services.console.connections import chosen_profile, config_dir, find_source
from services.console.errors import BadFileError, UnknownAddressError, UnknownProfileError
from services.console.profiles import Profile, Profiles

URLS: dict[str, str | None] = {}
PROFILES = Profiles(
    current="home", by_name={"home": Profile(edge_url="http://home", token="t"), "other": Profile(edge_url="http://o")}
)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack's own file."""
    file = tmp_path / "stack.json"
    file.write_text(json.dumps({"edge_url": "http://stack", "settlement_url": "http://ledger", "admin_token": "root"}))
    return file


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (Given(urls=URLS, profile="other"), {"TOLLBOOK_HOME": "/x"}, "other"),
        (Given(urls=URLS), {"TOLLBOOK_HOME": "/x"}, None),
        (Given(urls=URLS, stack=Path("s.json")), {}, None),
        (Given(urls=URLS, profile="stack"), {}, None),
        (Given(urls=URLS), {}, "home"),
    ],
)
def test_what_was_said_for_this_command_goes_before_what_was_said_for_all(
    given: Given, environ: dict[str, str], expected: str | None
) -> None:
    assert chosen_profile(given, environ, PROFILES) == expected


def test_two_that_say_where_the_services_are_are_one_too_many() -> None:
    with pytest.raises(BadFileError, match="one of them"):
        chosen_profile(Given(urls=URLS, profile="home", stack=Path("s.json")), {}, PROFILES)


def test_a_profile_never_fills_its_gaps_from_the_running_stack(stack: Path) -> None:
    source = find_source(Given(urls=URLS), {}, PROFILES)
    addresses = Addresses(urls={}, token=None, stack=source.stack, stack_file=source.named)
    assert (addresses.of("edge").url, addresses.of("edge").token) == ("http://home", "t")
    with pytest.raises(UnknownAddressError, match="profile home does not name it"):
        addresses.of("settlement")


def test_a_profile_may_name_a_stack_and_bring_its_own_token(stack: Path) -> None:
    profiles = Profiles(current="mine", by_name={"mine": Profile(stack=str(stack), token="tbu", api_key="sk")})
    source = find_source(Given(urls=URLS), {}, profiles)
    addresses = Addresses(urls={}, token=None, stack=source.stack, stack_file=source.named)
    assert (addresses.of("settlement").url, addresses.of("settlement").token) == ("http://ledger", "tbu")
    assert addresses.of_customer(None).token == "sk"


def test_a_profiles_token_goes_to_the_profiles_addresses_alone() -> None:
    source = find_source(Given(urls=URLS), {}, PROFILES)
    elsewhere = Addresses(urls={"edge": "http://elsewhere"}, token=None, stack=source.stack, stack_file=source.named)
    with pytest.raises(UnknownAddressError, match="wants a token"):
        elsewhere.of("edge")


def test_the_running_stack_is_found_without_any_profile(stack: Path) -> None:
    source = find_source(Given(urls=URLS), {"TOLLBOOK_HOME": str(stack.parent)}, Profiles())
    assert source.stack["settlement_url"] == "http://ledger"


def test_a_profile_that_there_is_not_is_said() -> None:
    with pytest.raises(UnknownProfileError):
        find_source(Given(urls=URLS, profile="none"), {}, PROFILES)


def test_settings_lie_where_the_platform_puts_them_unless_a_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_dir({"TOLLBOOK_CONFIG_DIR": "/c"}) == Path("/c")
    assert config_dir({}).name == "tollbook"
