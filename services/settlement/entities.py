"""Accounts, projects and keys as edge announces them on the control topic, and whose they are."""

import time
from collections.abc import Callable

from schemas.control import ControlRecord
from services.settlement.admin_calls import unknown_account
from services.settlement.errors import NotFoundError
from services.settlement.money_in import LimitChange

PATIENCE_S = 2.0
POLL_S = 0.02


class Entities:
    """Whose everything is. Written by the event loop, read by threads; nothing is ever forgotten, as edge deletes nothing.

    What was made a moment ago may not have been heard of: `require` waits for it a little, so that whoever makes a key and
    sets its limit at once is not refused.
    """

    def __init__(
        self,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._account_of: dict[tuple[str, str], str] = {}
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep

    def apply(self, record: ControlRecord) -> None:
        """Take one control record."""
        if record.kind == "account":
            self._account_of["account", record.entity_id] = record.entity_id
        elif record.kind in {"project", "key"} and record.account_id is not None:
            self._account_of[record.kind, record.entity_id] = record.account_id

    def require_account(self, account_id: str) -> None:
        """Wait until the account is known. Raises NotFoundError for one that is not."""
        if not self._waited_for("account", account_id, account_id):
            raise unknown_account(account_id)

    def require(self, asked: LimitChange) -> None:
        """Wait until what a limit is about is known, and is the account's. Raises NotFoundError where it is not.

        A limit can always be removed: there may be some from before they were compared with what there is.
        """
        if asked.limit is None:
            return
        self.require_account(asked.account_id)
        if asked.kind in {"project", "key"} and not self._waited_for(asked.kind, asked.id, asked.account_id):
            raise NotFoundError(
                f"There is no {asked.kind} {asked.id!r} in account {asked.account_id!r}.",
                code=f"{asked.kind}_not_found",
                param="id",
            )

    def _waited_for(self, kind: str, entity_id: str, account_id: str) -> bool:
        """Whether it is the account's. What is another's is waited for as well: nobody learns from the time that it exists."""
        until_s = self._clock() + self._patience_s
        while self._account_of.get((kind, entity_id)) != account_id:
            if self._clock() >= until_s:
                return False
            self._sleep(POLL_S)
        return True
