"""Access tokens in Postgres, each change with its audit entry."""

from datetime import datetime
from typing import Any

from schemas.access import ALL, Grant
from services.edge.access_guard import Actor
from services.edge.access_rules import missing
from services.edge.admin_models import Because
from services.edge.api_keys import Peppers
from services.edge.audit import record
from services.edge.database import Connection, Database, Row, rows_of
from services.edge.errors import InvalidApiKeyError
from services.edge.identities import PresentedToken
from services.edge.user_rules import require_over
from services.edge.users import account_told, locked_user, read_user

EVERY_ROLE = "*"
TOLD = ("user_id", "name", "expires_at")


class AccessTokenStore:
    """Makes, lists and revokes. The secret is hashed as that of an API key, and stored nowhere."""

    def __init__(self, database: Database, peppers: Peppers) -> None:
        self._database = database
        self._peppers = peppers

    async def create(
        self, connection: Connection, user_id: str, name: str, expires_at: datetime | None, by: Actor
    ) -> tuple[Row, str]:
        """A new token of the user within the caller's transaction: the row, and the text that is shown once."""
        await locked_user(connection, user_id)
        vouched_for = await _vouched_for(connection, user_id, by)
        minted = PresentedToken.mint()
        values = {
            "token_id": minted.key_id,
            "user_id": user_id,
            "name": name,
            "secret_hmac": self._peppers.digest(minted.secret, self._peppers.current),
            "pepper_version": self._peppers.current,
            "created_by": by.author("admin"),
            "expires_at": expires_at,
            "vouched_for": vouched_for,
        }
        row = (await rows_of(connection, "insert_access_token", values))[0]
        after, account_id = {each: row[each] for each in TOLD}, await account_told(connection, user_id)
        await record(connection, by, "token.create", entity_id=minted.key_id, account_id=account_id, after=after)
        return row, minted.token()

    async def page(self, user_id: str, *, after: str, limit: int, made_by: str | None = None) -> tuple[list[Row], str | None]:
        """The user's tokens in id order, and the id to go on from; those alone that one user made, where that is given."""
        asked = {"user_id": user_id, "after": after, "limit": limit + 1, "made_by": made_by}
        rows = await self._database.rows("list_access_tokens", asked)
        return rows[:limit], rows[limit - 1]["token_id"] if len(rows) > limit else None

    async def revoke(self, user_id: str, token_id: str, why: Because, by: Actor) -> Row:
        """End a token for good. Once more changes nothing."""
        async with self._database.transaction() as connection:
            found = await rows_of(connection, "revoke_access_token", {"user_id": user_id, "token_id": token_id})
            if not found:
                raise missing("token", token_id)
            row = found[0]
            was = row.pop("was_revoked_at")
            if was is None:
                told: dict[str, Any] = {"before": {"revoked_at": None}, "after": {"revoked_at": row["revoked_at"]}}
                told |= {"account_id": await account_told(connection, user_id), "reason": why.reason, "author": why.author}
                await record(connection, by, "token.revoke", entity_id=token_id, **told)
        return row


async def _vouched_for(connection: Connection, user_id: str, by: Actor) -> list[str]:
    """The accounts whose roles the maker of a token may give, no more of them than the maker's own token is vouched for.

    The user's row is locked: the call was allowed before that, and a role that was given since counts here.
    """
    if by.identity is None:
        return [EVERY_ROLE]
    held = await rows_of(connection, "standing_of_token", {"token_id": by.identity.token_id})
    if not held:
        raise InvalidApiKeyError("The access token of this call was revoked meanwhile.")
    own: list[str] = held[0]["vouched_for"]
    if by.principal.user_id == user_id:
        return own
    grants = [Grant.model_validate(each) for each in (await read_user(connection, user_id))["grants"]]
    require_over(by.principal, grants)
    accounts = by.principal.accounts_with("user.write")
    if accounts is ALL:
        return own
    return sorted(accounts if EVERY_ROLE in own else accounts & set(own))
