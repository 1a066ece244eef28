"""Access tokens: how they are written, and the user behind one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from schemas.access import Grant, Principal
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.database import Database


class PresentedToken(PresentedKey):
    """`tbu-<public id>-<secret><checksum>`: an access token, written, minted and proven as API keys are."""

    prefix: ClassVar[str] = "tbu-"


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven token: whose it is, which one, until when it counts."""

    principal: Principal
    token_id: str
    expires_at: datetime | None


class Identities:
    """Proves access tokens by their checksum, then by Postgres and the pepper. Nothing is kept, so that nothing is stale."""

    def __init__(self, database: Database, peppers: Peppers) -> None:
        self._database = database
        self._peppers = peppers

    async def find(self, token: str) -> Identity | None:
        """Who presents it, None where it is no token that counts. Raises `StoreUnavailableError`."""
        presented = PresentedToken.parse(token)
        if presented is None:
            return None
        row = await self._database.row("find_access_token", {"token_id": presented.key_id})
        if row is None or not self._peppers.verifies(presented.secret, row["pepper_version"], bytes(row["secret_hmac"])):
            return None
        if row["unused_today"]:
            await self._database.rows("mark_token_used", {"token_id": presented.key_id})
        return _identity(row)


def _identity(row: Mapping[str, Any]) -> Identity:
    grants = tuple(Grant.model_validate(each) for each in row["grants"])
    principal = Principal(user_id=row["user_id"], name=row["name"], grants=grants)
    return Identity(principal, row["token_id"], row["expires_at"])
