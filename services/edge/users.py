"""Users and their roles in Postgres, each change with its audit entry."""

from collections.abc import Sequence
from typing import Any

from schemas.access import Grant
from services.edge.access_guard import Actor
from services.edge.access_rules import missing
from services.edge.admin_models import Because
from services.edge.api_keys import random_text
from services.edge.audit import record
from services.edge.database import Connection, Database, Row, rows_of
from services.edge.errors import ConflictError, ForbiddenError

USER_PREFIX = "usr_"
GRANT_PREFIX = "grt_"
ID_LENGTH = 16
Accounts = Sequence[str] | None


class UserStore:
    """Creates, reads and changes. Raises `NotFoundError` for an id that does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, connection: Connection, name: str, grants: Sequence[Grant], by: Actor) -> Row:
        """A new user with these roles, within the caller's transaction."""
        user_id = USER_PREFIX + random_text(ID_LENGTH)
        await rows_of(connection, "insert_user", {"user_id": user_id, "name": name})
        after = {"name": name, "active": True}
        await record(connection, by, "user.create", entity_id=user_id, account_id=sole_account(grants), after=after)
        for grant in grants:
            await self.give(connection, user_id, grant, by)
        return await read_user(connection, user_id)

    async def get(self, user_id: str, accounts: Accounts) -> Row:
        """A user, with the roles in these accounts alone where they are given."""
        row = await self._database.row("get_user", {"user_id": user_id, "accounts": accounts})
        if row is None:
            raise missing("user", user_id)
        return row

    async def page(self, *, after: str, limit: int, account_id: str | None, accounts: Accounts) -> tuple[list[Row], str | None]:
        """Users in id order, and the id to go on from."""
        asked = {"after": after, "limit": limit + 1, "account_id": account_id, "accounts": accounts}
        rows = await self._database.rows("list_users", asked)
        return rows[:limit], rows[limit - 1]["user_id"] if len(rows) > limit else None

    async def change(
        self, user_id: str, action: str, why: Because, by: Actor, *, name: str | None = None, active: bool | None = None
    ) -> Row:
        """Another name, or whether the user's tokens count. Nobody but an operator ends an account's last owner."""
        async with self._database.transaction() as connection:
            before = await locked_user(connection, user_id)
            grants = (await read_user(connection, user_id))["grants"]
            if active is False:
                owned = sorted(each["account_id"] for each in grants if each["role"] == "owner")
                for account_id in owned:
                    await _require_other_owner(connection, account_id, user_id, by)
            after = {"name": name or before["name"], **_standing(before, active, by)}
            if any(after[each] != before[each] for each in after):
                await rows_of(connection, "change_user", {"user_id": user_id, **after})
                told: dict[str, Any] = {"before": before, "after": {"user_id": user_id, **after}, "reason": why.reason}
                account_id = await account_told(connection, user_id)
                await record(connection, by, action, entity_id=user_id, account_id=account_id, author=why.author, **told)
            return await read_user(connection, user_id)

    async def give(self, connection: Connection, user_id: str, grant: Grant, by: Actor) -> Row:
        """Give a role within the caller's transaction; one that the user has already stays as it is."""
        await locked_user(connection, user_id)
        asked = {"user_id": user_id, "role": grant.role, "account_id": grant.account_id}
        new = {"grant_id": GRANT_PREFIX + random_text(ID_LENGTH), "given_by": by.author("admin")}
        given = await rows_of(connection, "give_role", asked | new)
        if not given:
            return (await rows_of(connection, "find_role", asked))[0]
        grant_id = given[0]["grant_id"]
        await record(connection, by, "grant.give", entity_id=grant_id, account_id=grant.account_id, after=asked)
        await _end_unvouched_tokens(connection, user_id, grant, by)
        return given[0]

    async def grant(self, grant_id: str) -> Row | None:
        """A role that was given, None where there is none of that id."""
        return await self._database.row("get_grant", {"grant_id": grant_id})

    async def grants(
        self, *, after: str, limit: int, account_id: str | None, user_id: str | None, accounts: Accounts
    ) -> tuple[list[Row], str | None]:
        """Roles in id order, and the id to go on from."""
        asked = {"after": after, "limit": limit + 1, "account_id": account_id, "user_id": user_id, "accounts": accounts}
        rows = await self._database.rows("list_grants", asked)
        return rows[:limit], rows[limit - 1]["grant_id"] if len(rows) > limit else None

    async def take(self, grant_id: str, why: Because, by: Actor) -> Row:
        """Take a role away. Nobody but an operator takes that of an account's last owner."""
        async with self._database.transaction() as connection:
            found = await rows_of(connection, "get_grant", {"grant_id": grant_id})
            if not found:
                raise missing("grant", grant_id)
            row = found[0]
            if row["role"] == "owner":
                await _require_other_owner(connection, row["account_id"], row["user_id"], by)
            if not await rows_of(connection, "take_role", {"grant_id": grant_id}):
                raise missing("grant", grant_id)
            before = {name: row[name] for name in ("user_id", "role", "account_id")}
            told: dict[str, Any] = {"before": before, "reason": why.reason, "author": why.author}
            await record(connection, by, "grant.take", entity_id=grant_id, account_id=row["account_id"], **told)
        return row


def sole_account(grants: Sequence[Grant]) -> str | None:
    """The account whose owners are told of a change of the user: the only one that the user has a role in."""
    accounts = {grant.account_id for grant in grants}
    return accounts.pop() if len(accounts) == 1 else None


async def account_told(connection: Connection, user_id: str) -> str | None:
    """The account whose owners are told of a change of the user."""
    return sole_account([Grant.model_validate(each) for each in (await read_user(connection, user_id))["grants"]])


def _standing(before: Row, active: bool | None, by: Actor) -> dict[str, bool]:
    """Whether the user's tokens count after the change, and whether only an operator can let them count again."""
    by_operator: bool = before["deactivated_by_operator"]
    if active and by_operator and not by.principal.of_installation:
        raise ForbiddenError("deactivated_by_operator", "An operator deactivated this user: only an operator can activate it.")
    if active is None:
        return {"active": before["active"], "deactivated_by_operator": by_operator}
    return {"active": active, "deactivated_by_operator": not active and (by_operator or by.principal.of_installation)}


async def _end_unvouched_tokens(connection: Connection, user_id: str, grant: Grant, by: Actor) -> None:
    """End the tokens by whose copies somebody who could not give the role would now have it."""
    reason = f"The user was given the role {grant.role}, which whoever made this token could not give."
    account_id = await account_told(connection, user_id)
    for row in await rows_of(connection, "end_unvouched_tokens", {"user_id": user_id, "account_id": grant.account_id}):
        told: dict[str, Any] = {"before": {"revoked_at": None}, "after": {"revoked_at": row["revoked_at"]}}
        await record(connection, by, "token.revoke", entity_id=row["token_id"], account_id=account_id, reason=reason, **told)


async def read_user(connection: Connection, user_id: str) -> Row:
    """The user with all roles."""
    return (await rows_of(connection, "get_user", {"user_id": user_id, "accounts": None}))[0]


async def locked_user(connection: Connection, user_id: str) -> Row:
    """The user, whom nobody else changes or makes a token for meanwhile."""
    found = await rows_of(connection, "lock_user", {"user_id": user_id})
    if not found:
        raise missing("user", user_id)
    return found[0]


async def _require_other_owner(connection: Connection, account_id: str, user_id: str, by: Actor) -> None:
    """The account's row is locked, so that of two owners who take each other's role at once only one succeeds."""
    if by.principal.may("user.write", None):
        return
    await rows_of(connection, "lock_row_of_account", {"id": account_id})
    if (await rows_of(connection, "other_owners", {"account_id": account_id, "user_id": user_id}))[0]["left_over"] == 0:
        message = f"This is the last owner of the account {account_id}: give somebody else the role first, or ask an operator."
        raise ConflictError("last_owner", message, param="user_id")
