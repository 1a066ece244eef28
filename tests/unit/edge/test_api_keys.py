"""The key's form, its checksum, its digest."""

import pytest

from services.edge.api_keys import PREFIX, TOKEN_LENGTH, Peppers, PresentedKey, checksum

TOKEN = PresentedKey("Q7mZk2XvB9tL", "a" * 43).token()


def test_a_key_is_prefix_public_id_secret_and_checksum() -> None:
    body = f"sk-tb-Q7mZk2XvB9tL-{'a' * 43}"
    assert body + checksum(body) == TOKEN
    assert len(TOKEN) == TOKEN_LENGTH


def test_the_checksum_never_changes_its_meaning() -> None:
    assert checksum("sk-tb-Q7mZk2XvB9tL-secret") == "1egTBb"


def test_a_minted_key_is_read_back() -> None:
    minted = PresentedKey.mint()
    assert PresentedKey.parse(minted.token()) == minted


def test_two_minted_keys_differ() -> None:
    assert PresentedKey.mint() != PresentedKey.mint()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-tb-",
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN.replace("sk-tb-", "sk-xx-"),
        TOKEN.replace("a", "b", 1),
        TOKEN.replace("Q7mZk2XvB9tL", "q7mZk2XvB9tL"),
        TOKEN.replace("Q7mZk2XvB9tL-", "Q7mZk2XvB9tLx"),
        TOKEN.replace("aaa", "a-a", 1),
        TOKEN.replace("a", "ä", 1),
        TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"),
        " " + TOKEN[1:],
    ],
)
def test_a_token_of_another_form_is_no_key(token: str) -> None:
    assert PresentedKey.parse(token) is None


def test_a_keys_secret_is_not_in_its_representation() -> None:
    assert "a" * 43 not in repr(PresentedKey.parse(TOKEN))


def test_the_highest_pepper_signs_and_the_older_ones_still_verify() -> None:
    old = Peppers({1: b"first"})
    both = Peppers({1: b"first", 2: b"second"})
    assert both.current == 2
    assert both.verifies("secret", 1, old.digest("secret", 1))
    assert both.verifies("secret", 2, both.digest("secret", 2))


def test_a_digest_of_another_pepper_or_secret_does_not_verify() -> None:
    peppers = Peppers({1: b"first", 2: b"second"})
    assert not peppers.verifies("secret", 1, peppers.digest("secret", 2))
    assert not peppers.verifies("secret", 1, peppers.digest("Secret", 1))


def test_a_pepper_that_was_removed_verifies_nothing() -> None:
    digest = Peppers({1: b"first"}).digest("secret", 1)
    assert not Peppers({2: b"second"}).verifies("secret", 1, digest)


def test_an_edge_without_peppers_does_not_start() -> None:
    with pytest.raises(ValueError, match="TOLLBOOK_KEY_PEPPERS"):
        Peppers({})


def test_the_prefix_says_whose_key_it_is() -> None:
    assert PREFIX == "sk-tb-"
