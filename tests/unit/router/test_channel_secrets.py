"""A channel whose key cannot be used is out of service for a reason that is said, and holds up no other."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.breaker import BreakerLimits
from services.router.catalog import Catalog, compile_catalog
from services.router.channel_secrets import ChannelSecrets, Opened, home_of
from services.router.errors import SecretUnreadableError
from services.router.health import Health
from services.router.origin import OriginRules
from services.router.table import RouteTable
from services.router.vault import Vault
from tests.unit.router.things import channel, model

KEY = bytes(range(32))
RULES = OriginRules(allow_private=False)


def secrets(environ: dict[str, str] | None = None, key: bytes = KEY, rules: OriginRules = RULES) -> ChannelSecrets:
    return ChannelSecrets(Vault("t", key), environ or {}, rules)


def table(*channels: dict[str, Any]) -> RouteTable:
    return RouteTable.model_validate({"channels": channels, "models": []})


def opened(of: RouteTable, by: ChannelSecrets, stored: RouteTable | None = None) -> Opened:
    rows = [row for each in (stored or of).channels for row in secrets().rows(1, each)]
    return by.open_all(of, rows)


def test_a_variable_that_is_not_set_takes_its_channel_out_of_service_and_no_other() -> None:
    of = table(channel("a", keys=[{"secret_env": "A_KEY"}]), channel("b"), channel("c", keys=[{"secret_env": "C_KEY"}]))
    found = opened(of, secrets({"C_KEY": "sk-c"}))
    assert found.keys == {"a": (), "b": ("sk-b",), "c": ("sk-c",)}
    assert list(found.faults) == ["a"]
    assert "A_KEY is not set" in found.faults["a"]


def test_a_stored_table_that_names_a_variable_of_routers_own_sends_it_nowhere() -> None:
    of = table(channel("a", keys=[{"secret_env": "TOLLBOOK_ADMIN_TOKEN"}]), channel("b"))
    found = opened(of, secrets({"TOLLBOOK_ADMIN_TOKEN": "the operator's"}))
    assert found.keys == {"a": (), "b": ("sk-b",)}
    assert "TOLLBOOK_ADMIN_TOKEN is a variable of router's own" in found.faults["a"]
    assert "the operator's" not in found.faults["a"]


def test_the_line_break_at_the_end_of_a_variable_is_not_of_its_key() -> None:
    assert opened(table(channel("a", keys=[{"secret_env": "A_KEY"}])), secrets({"A_KEY": "sk-a\r\n"})).keys == {"a": ("sk-a",)}


def test_a_variable_that_cannot_be_sent_takes_its_channel_out_of_service_by_name() -> None:
    found = opened(table(channel("a", keys=[{"secret_env": "A_KEY"}]), channel("b")), secrets({"A_KEY": "sk-\u00e9"}))
    assert found.keys == {"a": (), "b": ("sk-b",)}
    assert found.faults["a"].startswith("the environment variable A_KEY: the secret has")
    assert "sk-" not in found.faults["a"]


def test_a_stored_secret_that_cannot_be_sent_is_out_of_service_and_no_sign_of_a_wrong_secrets_key() -> None:
    moved = table(channel("a", keys=[{"secret": "sk-a\nx"}]), channel("b", base_url="https://other.example.com/v1"))
    stored = table(channel("a", keys=[{"secret": "sk-a\nx"}]), channel("b"))
    found = opened(moved, secrets(), stored=stored)
    assert found.keys == {"a": (), "b": ()}
    assert found.faults["a"].startswith("channel a: the secret has")
    assert "sk-" not in found.faults["a"]
    with pytest.raises(SecretUnreadableError):
        opened(moved, secrets(key=bytes(32)), stored=stored)


def test_a_stored_secret_that_cannot_be_sent_is_sealed_anew_all_the_same() -> None:
    of = table(channel("a", keys=[{"secret": "sk-a\n"}])).channels[0]
    assert secrets().open(secrets().rows(1, of)[0], home_of(of)) == "sk-a\n"


def test_a_channel_with_one_key_left_stays_in_service_and_says_what_is_missing() -> None:
    found = opened(table(channel("a", keys=[{"secret_env": "A_KEY"}, {"secret": "sk-2"}])), secrets())
    assert found.keys == {"a": ("sk-2",)}
    assert "A_KEY" in found.faults["a"]


def test_a_channel_out_of_service_is_never_called() -> None:
    of = RouteTable.model_validate({"channels": [channel("a"), channel("b")], "models": [model("m", "a", "b")]})
    compiled: Catalog = compile_catalog(1, of, {"a": (), "b": ("sk-b",)}, {"a": "why"})
    health = Health(BreakerLimits(consecutive=5, open_s=10), lambda: 0.0)
    assert [health.condition(each) for each in compiled.channels.values()] == ["cooldown", None]
    assert health.begin(compiled.channels["a"]) == "cooldown"
    assert (compiled.channels["a"].fault, compiled.channels["b"].fault) == ("why", None)


def test_an_address_that_was_changed_in_the_database_opens_no_secret() -> None:
    moved = table(channel("a", base_url="https://evil.example.com/v1"), channel("b"))
    found = opened(moved, secrets(), stored=table(channel("a"), channel("b")))
    assert found.keys == {"a": (), "b": ("sk-b",)}
    assert "does not open" in found.faults["a"]


def test_an_address_that_rules_no_longer_allow_is_out_of_service_without_opening_its_secret() -> None:
    of = table(channel("a", base_url="http://10.0.0.8/v1"), channel("b"))
    rows = [row for each in of.channels for row in secrets(rules=OriginRules(allow_private=True)).rows(1, each)]
    found = secrets().open_all(of, rows)
    assert found.keys == {"a": (), "b": ("sk-b",)}
    assert "TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS" in found.faults["a"]


def test_where_no_secret_opens_the_key_is_wrong_and_the_table_is_not_taken() -> None:
    with pytest.raises(SecretUnreadableError, match="secrets key"):
        opened(table(channel("a"), channel("b")), secrets(key=bytes(32)))


def test_secrets_under_a_former_key_are_counted() -> None:
    of = table(channel("a"), channel("b"))
    rows = [row for each in of.channels for row in secrets().rows(1, each)]
    later = ChannelSecrets(Vault("t", bytes(32), [KEY]), {}, RULES)
    assert later.open_all(of, rows).to_reseal == 2
    assert secrets().open_all(of, rows).to_reseal == 0
