"""Keys that are nearly right: real ones changed by hand, in every way that somebody who has seen one might think of."""

import random
from collections.abc import Callable, Iterator, Sequence

from services.edge.api_keys import ALPHABET, CHECKSUM_LENGTH, PREFIX, PUBLIC_ID_LENGTH, SECRET_LENGTH, PresentedKey, checksum

PREFIXES = ("sk-", "sk-tb", "sk-tb--", "SK-TB-", "pk-tb-", "tbu-", "sk-proj-", "sk-ant-", "sk-live-", "", "sk_tb_")
ODD = "äß€\u00a0\u200b\u202e\u0130\u017f\u212a\U0001d7d8\uff10\x00\x7f\t'\";%\\/<>{}$-_ "
Mutation = Callable[[random.Random, PresentedKey, PresentedKey], str]


def _text(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(ALPHABET, k=length))


def _whole(body: str) -> str:
    """The body with its right checksum, so that nothing but the secret is wrong."""
    return body + checksum(body)


def changed(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """One to four characters are others."""
    token = list(key.token())
    for place in chance.sample(range(len(token)), chance.randint(1, 4)):
        token[place] = chance.choice(ALPHABET + "-_")
    return "".join(token)


def secret_changed(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """One character of the secret is another, and the checksum fits it."""
    place = chance.randrange(SECRET_LENGTH)
    secret = key.secret[:place] + chance.choice(ALPHABET) + key.secret[place + 1 :]
    return PresentedKey(key.key_id, secret).token()


def truncated(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """The beginning or the end is missing, with or without a checksum that fits."""
    token = key.token()
    cut = chance.randrange(1, len(token))
    return chance.choice((token[:cut], token[cut:], _whole(token[: -CHECKSUM_LENGTH - 1 - cut % SECRET_LENGTH])))


def extended(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """Something stands before or after it."""
    more = _text(chance, chance.randint(1, 40))
    token = key.token()
    return chance.choice(
        (token + more, more + token, _whole(token[:-CHECKSUM_LENGTH] + more), f"{token}-{more}", f"{token},{token}")
    )


def case_flipped(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """Upper case for lower case, somewhere or everywhere; with a checksum that fits or the old one."""
    token = key.token()
    flipped = chance.choice(
        (token.upper(), token.lower(), token.swapcase(), "".join(c.swapcase() if chance.random() < 0.2 else c for c in token))
    )
    return chance.choice((flipped, _whole(flipped[:-CHECKSUM_LENGTH])))


def other_checksum(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """Everything is right but the checksum."""
    return key.token()[:-CHECKSUM_LENGTH] + _text(chance, CHECKSUM_LENGTH)


def other_prefix(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """Another kind of token, with a checksum that fits or the old one."""
    rest = key.token()[len(PREFIX) :]
    prefix = chance.choice(PREFIXES)
    return chance.choice((prefix + rest, _whole(prefix + rest[:-CHECKSUM_LENGTH])))


def odd_characters(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """A character that no key has, in place of one or between two."""
    token = key.token()
    place = chance.randrange(len(token))
    return token[:place] + chance.choice(ODD) + token[place + chance.randint(0, 1) :]


def access_token(chance: random.Random, key: PresentedKey, other: PresentedKey) -> str:
    """The form of a user's access token, made of the key's own parts or of others."""
    secret = chance.choice((key.secret, other.secret, _text(chance, SECRET_LENGTH)))
    return _whole(f"tbu-{key.key_id}-{secret}")


def anothers_secret(_chance: random.Random, key: PresentedKey, other: PresentedKey) -> str:
    """A real id with the secret of another real key."""
    return PresentedKey(key.key_id, other.secret).token()


def random_secret(chance: random.Random, key: PresentedKey, _other: PresentedKey) -> str:
    """A real id with a random secret."""
    return PresentedKey(key.key_id, _text(chance, SECRET_LENGTH)).token()


def random_key(chance: random.Random, _key: PresentedKey, _other: PresentedKey) -> str:
    """A key in the right form that nobody made."""
    return PresentedKey(_text(chance, PUBLIC_ID_LENGTH), _text(chance, SECRET_LENGTH)).token()


def noise(chance: random.Random, _key: PresentedKey, _other: PresentedKey) -> str:
    """Any characters."""
    return "".join(chr(chance.randrange(1, 0x250)) for _ in range(chance.randint(1, 300)))


MUTATIONS: tuple[Mutation, ...] = (
    changed,
    secret_changed,
    truncated,
    extended,
    case_flipped,
    other_checksum,
    other_prefix,
    odd_characters,
    access_token,
    anothers_secret,
    random_secret,
    random_key,
    noise,
)


def fuzzed(keys: Sequence[PresentedKey], count: int, seed: int) -> Iterator[str]:
    """So many tokens, each mutation in its turn, none of them one of the keys' own as a server reads it."""
    chance = random.Random(seed)
    real = {key.token() for key in keys}
    made = 0
    while made < count:
        key, other = chance.sample(keys, 2)
        token = MUTATIONS[made % len(MUTATIONS)](chance, key, other)
        if token.strip() not in real:
            made += 1
            yield token
