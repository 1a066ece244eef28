"""A hundred thousand keys that are nearly right: none opens the door, and each is compared in constant time."""

import hmac
from collections import Counter
from datetime import UTC, datetime

import pytest

from services.edge.api_keys import Peppers, PresentedKey
from services.edge.authentication import Authenticator
from services.edge.caller import KeyRow
from services.edge.errors import InvalidApiKeyError
from services.edge.key_cache import KeyCache
from tests.property.edge.key_mutations import MUTATIONS, fuzzed
from tests.unit.edge.values import key_row

COUNT = 100_000
SEED = 20_261_125
PEPPERS = Peppers({1: b"older pepper", 2: b"newer pepper"})
KEYS = [PresentedKey.mint() for _ in range(20)]
FORMER = [PresentedKey(key.key_id, PresentedKey.mint().secret) for key in KEYS[:10]]


def rows() -> dict[str, KeyRow]:
    """The keys as Postgres has them; half of them were rotated and still have their former secret."""
    found = {}
    for number, key in enumerate(KEYS):
        version = 1 + number % 2
        row = {"key_id": key.key_id, "secret_hmac": PEPPERS.digest(key.secret, version), "pepper_version": version}
        if number < len(FORMER):
            row |= {"previous_hmac": PEPPERS.digest(FORMER[number].secret, 1), "previous_pepper_version": 1}
            row |= {"previous_expires_at": datetime(2099, 1, 1, tzinfo=UTC)}
        found[key.key_id] = key_row(**row)
    return found


async def test_of_a_hundred_thousand_fuzzed_keys_none_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    known = rows()

    compare_digest = hmac.compare_digest

    def compared(one: bytes, other: bytes) -> bool:
        counts["compared"] += 1
        return compare_digest(one, other)

    async def find(key_id: str) -> KeyRow | None:
        row = known.get(key_id)
        counts["to compare"] += 0 if row is None else 1 + (row.previous_hmac is not None)
        return row

    monkeypatch.setattr("services.edge.api_keys.hmac.compare_digest", compared)
    authenticator = Authenticator(KeyCache(capacity=1000), PEPPERS, find)
    for number, token in enumerate(fuzzed([*KEYS, *FORMER], COUNT, SEED)):
        try:
            await authenticator.caller({b"authorization": b"Bearer " + token.encode()})
        except InvalidApiKeyError:
            counts[MUTATIONS[number % len(MUTATIONS)].__name__] += 1
    refused = {mutation.__name__: counts[mutation.__name__] for mutation in MUTATIONS}
    assert sum(refused.values()) == COUNT
    # Nearly half have the right form, and a secret that only its digest tells from the right one.
    assert counts["compared"] == counts["to compare"] > COUNT / 4


async def test_the_keys_that_they_were_made_of_are_accepted() -> None:
    known = rows()

    async def find(key_id: str) -> KeyRow | None:
        return known.get(key_id)

    authenticator = Authenticator(KeyCache(), PEPPERS, find)
    for key in [*KEYS, *FORMER]:
        assert (await authenticator.caller({b"x-api-key": key.token().encode()})).key.key_id == key.key_id
