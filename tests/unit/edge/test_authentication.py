"""From headers to a caller: memory first, then form, then the store; wrong keys never reach the store twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.control import ControlRecord
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.authentication import Authenticator, presented_token
from services.edge.caller import KeyRow
from services.edge.client_address import ClientAddresses, parse_networks
from services.edge.errors import ForbiddenError, InvalidApiKeyError, KeyExpiredError, UnavailableError
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


AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
NEXT = PresentedKey(KEY.key_id, PresentedKey.mint().secret)


def rotated(**changes: Any) -> KeyRow:
    """`KEY` after a rotation to `NEXT`; the peppers differ."""
    fields = {
        "key_id": KEY.key_id,
        "secret_hmac": PEPPERS.digest(NEXT.secret, 2),
        "pepper_version": 2,
        "previous_hmac": PEPPERS.digest(KEY.secret, 1),
        "previous_pepper_version": 1,
        "previous_expires_at": AT,
    }
    return key_row(**fields | changes)


@pytest.mark.parametrize("late_s", [0.0, 0.001, 3600.0])
async def test_a_key_ends_at_its_instant_although_it_is_remembered(late_s: float) -> None:
    row = stored(KEY)
    expiring = key_row(**{name: getattr(row, name) for name in KeyRow.__slots__} | {"expires_at": AT})
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(expiring).find)
    remembered = [await authenticator.caller(bearer(KEY)) for _ in range(2)]
    for caller in remembered:
        caller.require_standing(lambda: AT.timestamp() - 0.001)
        with pytest.raises(KeyExpiredError) as refused:
            caller.require_standing(lambda: AT.timestamp() + late_s)
        assert (refused.value.status, refused.value.code) == (401, "key_expired")


async def test_both_secrets_open_during_the_overlap_and_the_former_one_no_instant_longer() -> None:
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(rotated()).find)
    former, present = await authenticator.caller(bearer(KEY)), await authenticator.caller(bearer(NEXT))
    for caller in (former, present):
        caller.require_standing(lambda: AT.timestamp() - 0.001)
    present.require_standing(lambda: AT.timestamp() + 3600)
    with pytest.raises(KeyExpiredError):
        former.require_standing(AT.timestamp)


async def test_without_an_overlap_the_former_secret_is_an_unknown_one() -> None:
    nothing = dict.fromkeys(("previous_hmac", "previous_pepper_version", "previous_expires_at"))
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(rotated(**nothing)).find)
    assert await authenticator.caller(bearer(NEXT))
    with pytest.raises(InvalidApiKeyError):
        await authenticator.caller(bearer(KEY))


async def test_a_third_secret_opens_no_door_of_a_rotated_key() -> None:
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(rotated(previous_expires_at=AT + timedelta(days=1))).find)
    with pytest.raises(InvalidApiKeyError):
        await authenticator.caller(bearer(PresentedKey(KEY.key_id, PresentedKey.mint().secret)))


@pytest.mark.parametrize(
    ("peer", "said", "may"),
    [
        ("192.0.2.7", "", True),
        ("192.0.3.7", "", False),
        ("192.0.3.7", "192.0.2.7", False),
        ("10.0.0.1", "192.0.2.7", True),
        ("10.0.0.1", "192.0.2.7, 192.0.3.7", False),
        ("2001:db8::9", "", True),
        ("2001:db9::9", "", False),
        (None, "192.0.2.7", False),
    ],
)
async def test_a_key_with_an_allow_list_is_used_from_there_alone(peer: str | None, said: str, *, may: bool) -> None:
    row = stored(KEY)
    allowed = {"allowed_ips": ["192.0.2.0/24", "2001:db8::/32"]}
    listed = key_row(**{name: getattr(row, name) for name in KeyRow.__slots__} | allowed)
    addresses = ClientAddresses(parse_networks(["10.0.0.0/8"]))
    authenticator = Authenticator(KeyCache(), PEPPERS, Rows(listed).find, addresses)
    headers = [(b"x-forwarded-for", said.encode())] if said else []
    scope = {"client": None if peer is None else (peer, 4711), "headers": headers}
    caller = await authenticator.caller(bearer(KEY))
    if may:
        authenticator.require_place(caller, scope)
    else:
        with pytest.raises(ForbiddenError) as refused:
            authenticator.require_place(caller, scope)
        assert refused.value.code == "ip_not_allowed"
        assert "192.0" not in refused.value.message
