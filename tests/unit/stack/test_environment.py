"""What the services are told, and by whom."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path

from deploy.local.environment import keep_keys, load_secrets, own, shared, with_callers_key
from deploy.local.home import Home
from schemas.notes import SigningKey

PORTS = {"edge": 1, "router": 2, "settlement": 3, "analytics": 4, "provider": 5, "meter": 6}


def _shared(home: Home, caller: Mapping[str, str]) -> dict[str, str]:
    return shared(
        secret=with_callers_key(load_secrets(home), caller),
        ports=PORTS,
        database_url="postgresql://somewhere/tollbook",
        kafka_bootstrap_servers="127.0.0.1:9",
        caller=caller,
    )


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = load_secrets(home)
    assert load_secrets(home) == first
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600


def test_a_secret_that_a_newer_version_needs_is_added_and_the_others_stay(tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept = {name: value for name, value in load_secrets(home).items() if name != "TOLLBOOK_SECRETS_KEY"}
    home.secrets_file.write_text("".join(f"{name}={value}\n" for name, value in kept.items()))
    again = load_secrets(home)
    assert {name: again[name] for name in kept} == kept
    assert len(bytes.fromhex(again["TOLLBOOK_SECRETS_KEY"])) == 32


def test_keys_have_the_shapes_that_the_services_read(tmp_path: Path) -> None:
    secrets = load_secrets(Home(tmp_path))
    assert len(bytes.fromhex(json.loads(secrets["TOLLBOOK_KEY_PEPPERS"])["1"])) == 32
    assert len(SigningKey(secrets["TOLLBOOK_SIGNING_KEY"]).public.raw) == 32
    tokens = [value for name, value in secrets.items() if name.endswith("_TOKEN")]
    assert len(set(tokens)) == len(tokens) == 6


def test_the_callers_own_variables_win(tmp_path: Path) -> None:
    told = _shared(Home(tmp_path), {"TOLLBOOK_ADMIN_TOKEN": "mine", "TOLLBOOK_HOLD_GRACE_SECONDS": "1", "OTHER": "x"})
    assert (told["TOLLBOOK_ADMIN_TOKEN"], told["TOLLBOOK_HOLD_GRACE_SECONDS"]) == ("mine", "1")
    assert "OTHER" not in told


OLD, NEW, NEWEST = "0a" * 32, "0b" * 32, "0c" * 32


def _started(home: Home, **caller: str) -> tuple[str, str]:
    """The current and the former keys that router is told by a start that gets ready."""
    told = _shared(home, {f"TOLLBOOK_{name}": value for name, value in caller.items()})
    keep_keys(home, told)
    return told["TOLLBOOK_SECRETS_KEY"], told["TOLLBOOK_FORMER_SECRETS_KEYS"]


def test_a_plain_start_after_a_rotation_knows_the_key_that_secrets_are_sealed_under_by_now(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = load_secrets(home)["TOLLBOOK_SECRETS_KEY"]
    assert _started(home) == (made, "")
    assert _started(home, SECRETS_KEY=OLD, FORMER_SECRETS_KEYS=made) == (OLD, made)
    assert _started(home) == (OLD, made)
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600


def test_a_key_that_is_replaced_becomes_a_former_one_until_it_is_left_out(tmp_path: Path) -> None:
    home = Home(tmp_path)
    _started(home, SECRETS_KEY=OLD, FORMER_SECRETS_KEYS="")
    assert _started(home, SECRETS_KEY=NEW) == (NEW, OLD)
    assert _started(home, SECRETS_KEY=NEWEST) == (NEWEST, f"{OLD},{NEW}")
    assert _started(home, SECRETS_KEY=NEWEST) == (NEWEST, f"{OLD},{NEW}")
    assert _started(home, SECRETS_KEY=OLD) == (OLD, f"{NEW},{NEWEST}")
    assert _started(home, FORMER_SECRETS_KEYS="") == (OLD, "")
    assert _started(home) == (OLD, "")


def test_a_key_that_no_router_got_ready_with_is_not_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    _shared(home, {"TOLLBOOK_SECRETS_KEY": "no key"})
    assert "no key" not in home.secrets_file.read_text()


def test_what_each_process_is_told_by_itself_cannot_be_set_for_all(tmp_path: Path) -> None:
    told = _shared(
        Home(tmp_path), {"TOLLBOOK_PORT": "1", "TOLLBOOK_DATA_DIR": "/", "TOLLBOOK_PROCESS": "x", "TOLLBOOK_HOME": "/"}
    )
    assert not {"TOLLBOOK_PORT", "TOLLBOOK_DATA_DIR", "TOLLBOOK_PROCESS", "TOLLBOOK_HOME"} & set(told)


def test_the_database_password_reaches_services_only_inside_the_url(tmp_path: Path) -> None:
    assert "POSTGRES_PASSWORD" not in _shared(Home(tmp_path), {})


def test_every_named_service_has_its_url(tmp_path: Path) -> None:
    told = _shared(Home(tmp_path), {})
    assert {name: told[f"TOLLBOOK_{name.upper()}_URL"] for name in PORTS if name != "meter"} == {
        name: f"http://127.0.0.1:{port}" for name, port in PORTS.items() if name != "meter"
    }


def test_a_process_has_its_own_port_and_data_directory(tmp_path: Path) -> None:
    told = own(Home(tmp_path), "analytics", 8083)
    assert told["TOLLBOOK_PORT"] == "8083"
    assert told["TOLLBOOK_DATA_DIR"] == str(tmp_path / "data" / "analytics")
