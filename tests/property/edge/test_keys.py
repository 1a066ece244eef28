"""Properties of API keys: none is guessed, no slip of the hand passes."""

import random
import secrets

from hypothesis import given
from hypothesis import strategies as st

from services.edge.api_keys import ALPHABET, PREFIX, TOKEN_LENGTH, Peppers, PresentedKey, random_text
from services.edge.labels import MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, parse_tags

PEPPERS = Peppers({1: secrets.token_bytes(32)})
STORED = PresentedKey.mint()
DIGEST = PEPPERS.digest(STORED.secret, 1)
RANDOM_KEYS = 5000

base62 = st.text(ALPHABET, min_size=1)
words = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z"), blacklist_characters=",="), min_size=1, max_size=20)


def test_of_thousands_of_well_formed_keys_none_is_accepted() -> None:
    minted = [PresentedKey(STORED.key_id, random_text(len(STORED.secret))) for _ in range(RANDOM_KEYS)]
    assert not any(PEPPERS.verifies(key.secret, 1, DIGEST) for key in minted)


def test_of_thousands_of_random_texts_in_the_keys_form_hardly_any_passes_the_checksum() -> None:
    rest = TOKEN_LENGTH - len(PREFIX) - 13
    texts = [f"{PREFIX}{random_text(12)}-{random_text(rest)}" for _ in range(RANDOM_KEYS)]
    assert [text for text in texts if PresentedKey.parse(text) is not None] == []


@given(st.integers(0, TOKEN_LENGTH - 1), st.sampled_from(ALPHABET + "-_ äß"))
def test_one_wrong_character_is_always_told(place: int, character: str) -> None:
    token = STORED.token()
    typo = token[:place] + character + token[place + 1 :]
    assert (PresentedKey.parse(typo) is None) == (typo != token)


@given(st.randoms(use_true_random=False))
def test_two_neighbours_in_the_wrong_order_are_always_told(chance: random.Random) -> None:
    token = STORED.token()
    place = chance.randrange(TOKEN_LENGTH - 1)
    swapped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assert (PresentedKey.parse(swapped) is None) == (swapped != token)


@given(st.text())
def test_no_text_makes_the_parser_stumble(text: str) -> None:
    assert PresentedKey.parse(text) is None
    assert PresentedKey.parse(PREFIX + text) is None


@given(
    st.dictionaries(
        words.map(lambda text: text[:MAX_TAG_NAME]), words.map(lambda text: text[:MAX_TAG_VALUE]), min_size=1, max_size=MAX_TAGS
    )
)
def test_tags_are_read_as_they_were_written(tags: dict[str, str]) -> None:
    raw = ",".join(f"{name}={value}" for name, value in tags.items()).encode()
    assert parse_tags(raw) == tags
