"""From headers to a caller: memory first, then form, then the store; wrong keys never reach the store twice."""

import pytest

from schemas.control import ControlRecord
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.authentication import Authenticator, presented_token
from services.edge.caller import KeyRow
from services.edge.errors import InvalidApiKeyError, UnavailableError
from services.edge.key_cache import KeyCache
from tests.unit.edge.values import key_row

PEPPERS = Peppers({1: b"pepper", 2: b"newer"})
KEY = PresentedKey.mint()


class Rows:
    """A store of rows that counts how often it is asked."""

    def __init__(self, *rows: KeyRow) -> None:
        self.rows = {row.key_id: row for row in rows}
        self.asked = 0

    async def find(self, key_id: str) -> KeyRow | None:
        self.asked += 1
        return self.rows.get(key_id)


def stored(key: PresentedKey, pepper_version: int = 1) -> KeyRow:
    return key_row(key_id=key.key_id, secret_hmac=PEPPERS.digest(key.secret, pepper_version), pepper_version=pepper_version)


def bearer(key: PresentedKey) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.token().encode()}


@pytest.mark.parametrize(
    "header", [(b"authorization", b"Bearer sk-1"), (b"authorization", b"bearer  sk-1 "), (b"x-api-key", b"sk-1")]
)
def test_a_token_comes_as_bearer_or_as_x_api_key(header: tuple[bytes, bytes]) -> None:
    assert presented_token(dict([header])) == "sk-1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Basic dXNlcg=="},
        {b"authorization": b"sk-1"},
        {b"x-api-key": b" "},
        {b"authorization": b"Bearer " + b"x" * 257},
    ],
)
def test_a_request_without_a_usable_token_is_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(InvalidApiKeyError):
        presented_token(headers)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_stored_key_is_proven_under_every_pepper_that_is_kept(version: int) -> None:
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(stored(KEY, version)).find)
    assert (await authenticator.caller(bearer(KEY))).key.key_id == KEY.key_id


async def test_a_proven_key_is_looked_up_once() -> None:
    rows = Rows(stored(KEY))
    authenticator = Authenticator(KeyCache(), PEPPERS, rows.find)
    for _ in range(3):
        await authenticator.caller(bearer(KEY))
    assert rows.asked == 1


async def test_the_right_id_with_another_secret_is_refused_and_remembered() -> None:
    rows = Rows(stored(KEY))
    forged = PresentedKey(KEY.key_id, PresentedKey.mint().secret)
    authenticator = Authenticator(KeyCache(), PEPPERS, rows.find)
    for _ in range(3):
        with pytest.raises(InvalidApiKeyError):
            await authenticator.caller(bearer(forged))
    assert rows.asked == 1


async def test_a_typo_is_refused_without_asking_the_store() -> None:
    rows = Rows(stored(KEY))
    typo = KEY.token()[:-1] + ("A" if KEY.token()[-1] != "A" else "B")
    with pytest.raises(InvalidApiKeyError):
        await Authenticator(KeyCache(), PEPPERS, rows.find).caller({b"x-api-key": typo.encode()})
    assert rows.asked == 0


async def test_a_key_that_changes_while_it_is_looked_up_is_looked_up_again() -> None:
    cache = KeyCache()
    rows = Rows(stored(KEY))

    async def find(key_id: str) -> KeyRow | None:
        row = await rows.find(key_id)
        if rows.asked == 1:
            rows.rows[key_id] = key_row(**{name: getattr(row, name) for name in KeyRow.__slots__} | {"frozen": "key"})
            cache.invalidate(ControlRecord(kind="key", entity_id=key_id, version=2, frozen=True))
        return row

    caller = await Authenticator(cache, PEPPERS, find).caller(bearer(KEY))
    assert caller.frozen == "key"
    assert rows.asked == 2


async def test_a_key_that_never_stops_changing_is_refused_for_now() -> None:
    cache = KeyCache()

    async def find(key_id: str) -> KeyRow | None:
        cache.invalidate(ControlRecord(kind="key", entity_id=key_id, version=2))
        return stored(KEY)

    with pytest.raises(UnavailableError):
        await Authenticator(cache, PEPPERS, find).caller(bearer(KEY))
