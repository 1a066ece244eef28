"""The decisions before an admin call: who may change whom, what a token looks like, that no route is open by accident."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Response

from schemas.access import ROOT, Grant, Principal, Role, Verdict, is_access_token
from schemas.envelope import new_id
from services.edge.access_guard import AccessGuard, Actor
from services.edge.access_rules import anybody, require_declared
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.audit import differing
from services.edge.database import Database, Row
from services.edge.errors import StoreUnavailableError
from services.edge.identities import Identities, PresentedToken
from services.edge.user_rules import verdict_on
from services.edge.users import sole_account

MEMBER_OF_A = Grant(role="member", account_id="acc_a")
OWNER_OF_B = Grant(role="owner", account_id="acc_b")
OPERATOR = Grant(role="operator")


def caller(role: Role, account_id: str | None = "acc_a") -> Principal:
    return Principal(user_id="usr_1", name="Ada", grants=(Grant(role=role, account_id=account_id),))


@pytest.mark.parametrize(
    ("who", "grants", "read", "write"),
    [
        (caller("owner"), [MEMBER_OF_A], Verdict.ALLOWED, Verdict.ALLOWED),
        (caller("owner"), [MEMBER_OF_A, OWNER_OF_B], Verdict.ALLOWED, Verdict.REFUSED),
        (caller("owner"), [MEMBER_OF_A, OPERATOR], Verdict.ALLOWED, Verdict.REFUSED),
        (caller("owner"), [OWNER_OF_B], Verdict.UNKNOWN, Verdict.UNKNOWN),
        (caller("owner"), [OPERATOR], Verdict.UNKNOWN, Verdict.UNKNOWN),
        (caller("owner"), [], Verdict.UNKNOWN, Verdict.UNKNOWN),
        (caller("member"), [MEMBER_OF_A], Verdict.ALLOWED, Verdict.REFUSED),
        (caller("on-call", None), [MEMBER_OF_A], Verdict.ALLOWED, Verdict.REFUSED),
        (caller("on-call", None), [], Verdict.ALLOWED, Verdict.REFUSED),
        (caller("operator", None), [OPERATOR, OWNER_OF_B], Verdict.ALLOWED, Verdict.ALLOWED),
        (caller("operator", None), [], Verdict.ALLOWED, Verdict.ALLOWED),
        (ROOT, [OPERATOR], Verdict.ALLOWED, Verdict.ALLOWED),
    ],
)
def test_a_user_is_seen_by_who_shares_an_account_and_changed_by_who_may_give_every_role(
    who: Principal, grants: list[Grant], read: Verdict, write: Verdict
) -> None:
    assert (verdict_on(who, grants, "user.read"), verdict_on(who, grants, "user.write")) == (read, write)


def test_a_route_that_declares_no_permission_is_not_mounted() -> None:
    routes = APIRouter()
    routes.add_api_route("/open", lambda: None, **anybody())
    require_declared(routes)
    routes.add_api_route("/forgotten", lambda: None)
    with pytest.raises(ValueError, match="/forgotten declares no permission"):
        require_declared(routes)


def test_an_access_token_is_no_api_key_and_an_api_key_no_access_token() -> None:
    token, key = PresentedToken.mint(), PresentedKey.mint()
    assert token.token().startswith("tbu-")
    assert PresentedToken.parse(token.token()) == token
    assert is_access_token(token.token())
    assert PresentedKey.parse(token.token()) is None
    assert PresentedToken.parse(key.token()) is None
    assert PresentedToken.parse(key.token().replace("sk-tb-", "tbu-")) is None
    assert token.secret not in repr(token)


def test_the_author_is_whom_the_admin_token_names_and_else_the_user() -> None:
    assert Actor(ROOT, new_id()).author("ada") == "ada"
    assert Actor(caller("owner"), new_id()).author("root") == "usr_1 (Ada)"


def test_of_a_change_only_what_differs_is_written_down() -> None:
    before = {"name": "a", "frozen": False, "version": 1, "updated_by": None, "effective_policy": 1}
    after = {"name": "a", "frozen": True, "version": 2, "updated_by": "ada", "effective_policy": 2}
    assert differing(before, after) == ({"frozen": False}, {"frozen": True})


class Away(Database):
    """Postgres, which does not answer."""

    async def row(self, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
        raise StoreUnavailableError("away")


# The ids are named, because a minted token is another one in each session of tests.
@pytest.mark.parametrize(
    ("token", "status"),
    [("the admin token", 204), (PresentedToken.mint().token(), 503), ("tbu-nonsense", 401), ("", 401)],
    ids=["admin", "well-formed", "nonsense", "none"],
)
async def test_while_postgres_is_away_the_admin_token_works_and_no_user_is_told_that_their_token_is_bad(
    token: str, status: int
) -> None:
    identities = Identities(Away("postgresql://"), Peppers({1: b"pepper"}))
    guard = AccessGuard(Response(status_code=204), "the admin token", identities)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://edge") as client:
        reply = await client.get("/me", headers={"authorization": f"Bearer {token}".strip()})
    assert reply.status_code == status
    assert UUID(reply.headers["x-request-id"]).version == 7


def test_a_change_of_a_user_is_told_to_the_owners_of_the_users_only_account() -> None:
    assert sole_account([MEMBER_OF_A, Grant(role="billing", account_id="acc_a")]) == "acc_a"
    assert sole_account([MEMBER_OF_A, OWNER_OF_B]) is None
    assert sole_account([MEMBER_OF_A, OPERATOR]) is None
    assert sole_account([]) is None
