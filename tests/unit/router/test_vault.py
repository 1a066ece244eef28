"""A sealed secret opens only for the tenant, channel, provider and origin that it was sealed for, under old keys too."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.router.errors import SecretUnreadableError
from services.router.vault import Home, Sealed, Vault, key_id_of

KEY, NEXT = bytes(range(32)), bytes(range(1, 33))
HOME = Home("a", "openai", "openai", "https://a.example.com:443")
NONCE = b"n" * 12


def sealed(vault: Vault | None = None) -> Sealed:
    return (vault or Vault("t", KEY)).seal("sk-secret", HOME, NONCE)


def sealed_before_keys_had_ids(key: bytes = KEY) -> Sealed:
    label = b"tollbook-channel\x00a\x00https://a.example.com:443"
    return Sealed(NONCE, AESGCM(key).encrypt(NONCE, b"sk-secret", label))


def test_a_secret_comes_back() -> None:
    assert Vault("t", KEY).open(sealed(), HOME) == "sk-secret"
    assert b"sk-secret" not in sealed().sealed


@pytest.mark.parametrize(
    "moved", [{"channel_id": "b"}, {"origin": "https://evil.example:443"}, {"brand": "azure"}, {"dialect": "gemini"}]
)
def test_a_secret_that_was_moved_does_not_open(moved: dict[str, str]) -> None:
    with pytest.raises(SecretUnreadableError):
        Vault("t", KEY).open(sealed(), HOME._replace(**moved))


def test_a_secret_of_another_tenant_does_not_open() -> None:
    with pytest.raises(SecretUnreadableError):
        Vault("staging", KEY).open(sealed(), HOME)


def test_fields_cannot_be_shifted_into_each_other() -> None:
    shifted = HOME._replace(brand='openai","openai', dialect="x")
    with pytest.raises(SecretUnreadableError):
        Vault("t", KEY).open(sealed(), shifted)


def test_another_key_does_not_open_and_a_changed_secret_neither() -> None:
    with pytest.raises(SecretUnreadableError, match="TOLLBOOK_FORMER_SECRETS_KEYS"):
        Vault("t", bytes(32)).open(sealed(), HOME)
    with pytest.raises(SecretUnreadableError):
        Vault("t", KEY).open(sealed()._replace(sealed=b"x" + sealed().sealed[1:]), HOME)


@pytest.mark.parametrize("changed", [{"form": 1, "key_id": None}, {"form": 3}, {"key_id": key_id_of(NEXT)}])
def test_the_form_and_the_key_are_not_for_the_database_to_choose(changed: dict[str, Any]) -> None:
    with pytest.raises(SecretUnreadableError):
        Vault("t", KEY, [NEXT]).open(sealed()._replace(**changed), HOME)


def test_what_a_former_key_sealed_still_opens_and_is_not_current() -> None:
    rotated = Vault("t", NEXT, [KEY])
    assert rotated.open(sealed(), HOME) == "sk-secret"
    assert not rotated.is_current(sealed())
    again = sealed(rotated)
    assert rotated.is_current(again)
    assert Vault("t", NEXT).open(again, HOME) == "sk-secret"


@pytest.mark.parametrize("vault", [Vault("t", KEY), Vault("t", NEXT, [KEY]), Vault("other", NEXT, [bytes(32), KEY])])
def test_what_was_stored_before_keys_had_ids_keeps_opening(vault: Vault) -> None:
    assert vault.open(sealed_before_keys_had_ids(), HOME) == "sk-secret"
    assert not vault.is_current(sealed_before_keys_had_ids())
    with pytest.raises(SecretUnreadableError):
        vault.open(sealed_before_keys_had_ids(), HOME._replace(origin="https://evil.example:443"))


def test_the_fingerprint_needs_the_key() -> None:
    assert Vault("t", KEY).fingerprint(b"table") == Vault("t", KEY).fingerprint(b"table")
    assert Vault("t", KEY).fingerprint(b"table") != Vault("t", bytes(32)).fingerprint(b"table")
    assert Vault("t", KEY).fingerprint(b"table") != Vault("t", KEY).fingerprint(b"tables")
    assert Vault("t", KEY).fingerprint(b"table") in Vault("t", NEXT, [KEY]).fingerprints(b"table")


def test_the_id_of_a_key_tells_keys_apart_and_nothing_of_them() -> None:
    assert key_id_of(KEY) != key_id_of(NEXT)
    assert key_id_of(KEY) not in KEY.hex()
