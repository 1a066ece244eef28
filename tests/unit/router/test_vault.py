"""A sealed secret opens only for the channel and origin that it was sealed for."""

from __future__ import annotations

import pytest

from services.router.errors import SecretUnreadableError
from services.router.vault import Sealed, Vault

KEY = bytes(range(32))
HOME = {"channel_id": "a", "origin": "https://a.example.com:443"}


def sealed() -> Sealed:
    return Vault(KEY).seal("sk-secret", **HOME, nonce=b"n" * 12)


def test_a_secret_comes_back() -> None:
    assert Vault(KEY).open(sealed(), **HOME) == "sk-secret"
    assert b"sk-secret" not in sealed().sealed


@pytest.mark.parametrize("moved", [{"channel_id": "b"}, {"origin": "https://evil.example:443"}])
def test_a_secret_that_was_moved_does_not_open(moved: dict[str, str]) -> None:
    with pytest.raises(SecretUnreadableError):
        Vault(KEY).open(sealed(), **{**HOME, **moved})


def test_another_key_does_not_open_and_a_changed_secret_neither() -> None:
    with pytest.raises(SecretUnreadableError):
        Vault(bytes(32)).open(sealed(), **HOME)
    with pytest.raises(SecretUnreadableError):
        Vault(KEY).open(sealed()._replace(sealed=b"x" + sealed().sealed[1:]), **HOME)


def test_the_fingerprint_needs_the_key() -> None:
    assert Vault(KEY).fingerprint(b"table") == Vault(KEY).fingerprint(b"table")
    assert Vault(KEY).fingerprint(b"table") != Vault(bytes(32)).fingerprint(b"table")
    assert Vault(KEY).fingerprint(b"table") != Vault(KEY).fingerprint(b"tables")
