"""API keys as Postgres has them."""

from services.edge import metrics
from services.edge.caller import KeyRow
from services.edge.database import Database
from services.edge.policies import read_policy

SECRETS = ("secret_hmac", "previous_hmac")
POLICIES = ("policy", "project_policy", "account_policy")


class KeyStore:
    """Looks keys up for the hot path; the cache stands before it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def has_account(self, account_id: str) -> bool:
        """Whether there is an account of that id. Raises `StoreUnavailableError`."""
        return await self._database.row("account_of_account", {"id": account_id}) is not None

    async def find(self, key_id: str) -> KeyRow | None:
        """The key with its project's and account's state, None where there is none. Raises `StoreUnavailableError`."""
        row = await self._database.row("find_key", {"key_id": key_id})
        metrics.KEY_LOOKUPS.labels("unknown" if row is None else "found").inc()
        if row is None:
            return None
        policies = {name: read_policy(row[name]) for name in POLICIES}
        secrets = {name: None if row[name] is None else bytes(row[name]) for name in SECRETS}
        return KeyRow(**row | policies | secrets)
