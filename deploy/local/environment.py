"""What the services are told: secrets made once per home, and the addresses of today's processes."""

import json
import secrets
from collections.abc import Mapping

from deploy.local.home import Home, write_private
from deploy.local.ports import HOST
from deploy.local.postgres.logins import variable
from deploy.local.processes import MIGRATIONS

# Told to each process in its own words, so the caller's environment cannot set them for all.
OWN = ("TOLLBOOK_HOME", "TOLLBOOK_PORT", "TOLLBOOK_LISTEN_FD", "TOLLBOOK_DATA_DIR", "TOLLBOOK_PROCESS")
PER_PROCESS = frozenset({*OWN, *map(variable, MIGRATIONS)})
NAMED_URLS = ("edge", "router", "settlement", "analytics", "provider")
TOKENS = ("ADMIN", "EDGE", "ROUTER", "SETTLEMENT", "ANALYTICS", "SQL")
POSTGRES_PASSWORD = "POSTGRES_PASSWORD"  # noqa: S105 - the variable's name
# The database's passwords: the owner's, and with a service's name behind it each service's own.
SERVICE_PASSWORDS = {service: f"{POSTGRES_PASSWORD}_{service.upper()}" for service in MIGRATIONS}

SECRETS_KEY = "TOLLBOOK_SECRETS_KEY"
FORMER_SECRETS_KEYS = "TOLLBOOK_FORMER_SECRETS_KEYS"


def load_secrets(home: Home) -> dict[str, str]:
    """Return the home's secrets, made and kept at the first call."""
    found = _read(home)
    missing = {name: value for name, value in _fresh_secrets().items() if name not in found}
    if missing:
        found |= missing
        _write(home, found)
    return found


def with_callers_key(secret: Mapping[str, str], caller: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets with the caller's secrets key in place of the kept one, which becomes a former one.

    What is stored was sealed under the kept one. Former keys that the caller names win, also when there are none of them.
    """
    kept = secret[SECRETS_KEY]
    key = caller.get(SECRETS_KEY) or kept
    former = [each for each in (*secret.get(FORMER_SECRETS_KEYS, "").split(","), kept) if each and each != key]
    given = caller.get(FORMER_SECRETS_KEYS, ",".join(dict.fromkeys(former)))
    return {**secret, SECRETS_KEY: key, FORMER_SECRETS_KEYS: given}


def keep_keys(home: Home, told: Mapping[str, str]) -> None:
    """Keep the secrets keys that the services were told: what they store from now on opens under no other."""
    found = _read(home)
    wanted = {**found, **{name: told[name] for name in (SECRETS_KEY, FORMER_SECRETS_KEYS)}}
    if wanted != found:
        _write(home, wanted)


def shared(
    *,
    secret: Mapping[str, str],
    ports: Mapping[str, int],
    database_url: str,
    kafka_bootstrap_servers: str,
    caller: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables that every process gets, and DATABASE_URL as the migrations get it: as the tables' owner.

    The caller's own TOLLBOOK_* variables win.
    """
    generated = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "CLICKHOUSE_URL": caller.get("CLICKHOUSE_URL", ""),
        "TOLLBOOK_HOST": HOST,
        "TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    urls = {f"TOLLBOOK_{name.upper()}_URL": f"http://{HOST}:{ports[name]}" for name in NAMED_URLS if name in ports}
    kept = {name: value for name, value in secret.items() if not name.startswith(POSTGRES_PASSWORD)}
    overrides = {name: value for name, value in caller.items() if name.startswith("TOLLBOOK_")}
    merged = generated | urls | kept | overrides
    return {name: value for name, value in merged.items() if name not in PER_PROCESS}


def own(home: Home, name: str, port: int | None, database_url: str | None = None) -> dict[str, str]:
    """Return the variables that only the named process gets, and by which it can be recognised later."""
    variables = {"TOLLBOOK_HOME": str(home.path), "TOLLBOOK_PROCESS": name, "TOLLBOOK_DATA_DIR": str(home.data / name)}
    given = {"TOLLBOOK_PORT": None if port is None else str(port), "DATABASE_URL": database_url}
    return variables | {name: value for name, value in given.items() if value is not None}


def _read(home: Home) -> dict[str, str]:
    if not home.secrets_file.exists():
        return {}
    pairs = (line.partition("=") for line in home.secrets_file.read_text().splitlines() if line)
    return {name: value for name, _, value in pairs}


def _write(home: Home, values: Mapping[str, str]) -> None:
    write_private(home.secrets_file, "".join(f"{name}={value}\n" for name, value in values.items()))


def _fresh_secrets() -> dict[str, str]:
    tokens = {f"TOLLBOOK_{name}_TOKEN": secrets.token_urlsafe(32) for name in TOKENS}
    return tokens | {
        **{name: secrets.token_urlsafe(24) for name in (POSTGRES_PASSWORD, *SERVICE_PASSWORDS.values())},
        "TOLLBOOK_KEY_PEPPERS": json.dumps({"1": secrets.token_hex(32)}, separators=(",", ":")),
        "TOLLBOOK_SECRETS_KEY": secrets.token_hex(32),
        "TOLLBOOK_SIGNING_KEY": secrets.token_hex(32),
    }
