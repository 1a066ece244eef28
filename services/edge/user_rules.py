"""Who may see and change a user, and who may give which role."""

from collections.abc import Sequence
from typing import NoReturn

from fastapi import Request

from schemas.access import ALL, ROLE_NOT_ALLOWED, Grant, Permission, Principal, Verdict, refusal
from services.edge.access_guard import actor_of
from services.edge.access_rules import AccessRules, EntityId, Route, declared, missing
from services.edge.database import Database
from services.edge.errors import ForbiddenError

TOO_WIDE = "This user has roles that you may not give: only somebody who may give all of them may change the user."


def verdict_on(principal: Principal, grants: Sequence[Grant], permission: Permission) -> Verdict:
    """What a call about a user with these roles is answered with.

    A user is known to whoever may read the users of one of the accounts; changed by whoever may give every role of the user,
    since a token for a user is worth all that the user may do.
    """
    if principal.may(permission, None):
        return Verdict.ALLOWED
    accounts = [grant.account_id for grant in grants if grant.account_id is not None]
    if not principal.of_installation and not any(principal.may("user.read", account) for account in accounts):
        return Verdict.UNKNOWN
    if permission == "user.read":
        return Verdict.ALLOWED
    return Verdict.ALLOWED if grants and all(principal.may_give(grant) for grant in grants) else Verdict.REFUSED


class UserRules:
    """What routes about users declare, as :class:`AccessRules` has it for accounts."""

    def __init__(self, database: Database, rules: AccessRules) -> None:
        self._database = database
        self._rules = rules

    def user(self, permission: Permission, *statuses: int) -> Route:
        """A route about the user `{entity_id}`."""

        async def check(entity_id: EntityId, request: Request) -> None:
            await self.require(actor_of(request).principal, permission, entity_id)

        return declared(permission, check, 404, *statuses)

    async def require(self, principal: Principal, permission: Permission, user_id: str) -> None:
        """Raise what a call about the user is refused with."""
        row = await self._database.row("get_user", {"user_id": user_id, "accounts": None})
        grants = [] if row is None else [Grant.model_validate(each) for each in row["grants"]]
        verdict = Verdict.UNKNOWN if row is None else verdict_on(principal, grants, permission)
        if verdict is Verdict.UNKNOWN:
            raise missing("user", user_id)
        if verdict is Verdict.REFUSED:
            may_at_all = any(principal.may(permission, grant.account_id) for grant in grants)
            raise ForbiddenError(ROLE_NOT_ALLOWED, TOO_WIDE if may_at_all else refusal(permission))

    async def sees_tokens_made_by(self, principal: Principal, user_id: str) -> str | None:
        """Whose tokens of the user this one sees, None: all. Their names and makers tell of the user's other accounts."""
        if principal.of_installation or principal.user_id == user_id:
            return None
        row = await self._database.row("get_user", {"user_id": user_id, "accounts": None})
        grants = [] if row is None else [Grant.model_validate(each) for each in row["grants"]]
        return None if verdict_on(principal, grants, "user.write") is Verdict.ALLOWED else principal.user_id

    async def require_giving(self, principal: Principal, grant: Grant) -> None:
        """Raise what giving the role is refused with."""
        if grant.account_id is not None:
            await self._rules.require(principal, "user.write", "account", grant.account_id, always=True)
        else:
            self.require_installation(principal, "user.write")
        require_may_give(principal, grant)

    async def known_user(self, entity_id: EntityId, request: Request) -> None:
        """A check: whoever gives a user a role must know of the user."""
        await self.require(actor_of(request).principal, "user.read", entity_id)

    def require_installation(self, principal: Principal, permission: Permission) -> None:
        """Raise where this one may not do it in the whole installation."""
        if not principal.may(permission, None):
            self.refuse(permission)

    def refuse(self, permission: Permission) -> NoReturn:
        """Raise 403 in the words of the table."""
        raise ForbiddenError(ROLE_NOT_ALLOWED, refusal(permission))

    def accounts(self, principal: Principal) -> list[str] | None:
        """The accounts whose roles are shown to this one, None for all of them."""
        accounts = principal.accounts_with("user.read")
        return None if accounts is ALL else sorted(accounts)


def require_over(principal: Principal, grants: Sequence[Grant]) -> None:
    """Raise where this one may not give every role that the user has."""
    if verdict_on(principal, grants, "user.write") is not Verdict.ALLOWED:
        raise ForbiddenError(ROLE_NOT_ALLOWED, TOO_WIDE)


def require_may_give(principal: Principal, grant: Grant) -> None:
    """Raise where the role is wider than what the giver, or taker, may do."""
    if not principal.may_give(grant):
        raise ForbiddenError(ROLE_NOT_ALLOWED, f"You may not give or take the role {grant.role}: it is wider than yours.")
