"""Accounts, projects and keys as edge announces them on the control topic, and whose they are."""

import time
from collections.abc import Callable

from schemas.control import ControlRecord
from services.settlement.admin_calls import unknown_account
from services.settlement.errors import ApiError, NotFoundError, UnavailableError
from services.settlement.money_in import LimitChange

PATIENCE_S = 2.0
POLL_S = 0.02


class Entities:
    """Whose everything is. Nothing is ever forgotten, as edge deletes nothing; a single write of a dict needs no lock.

    What was made a moment ago may not have been heard of. Edge is asked whether there is such an account, where `ask` reaches
    it (it raises UnavailableError where edge does not say); everything else is waited for a little, so that whoever makes a
    key and sets its limit at once is not refused.
    """

    def __init__(
        self,
        ask: Callable[[str], bool] | None = None,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._account_of: dict[tuple[str, str], str] = {}
        self._ask = ask
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep

    def apply(self, record: ControlRecord) -> None:
        """Take one control record."""
        if record.kind == "account":
            self._account_of["account", record.entity_id] = record.entity_id
        elif record.kind in {"project", "key"} and record.account_id is not None:
            self._account_of[record.kind, record.entity_id] = record.account_id

    def account_refusal(self, account_id: str) -> ApiError | None:
        """Why nothing may be done for the account: there is none, or nobody can tell now. None for one that there is."""
        refusal: ApiError = unknown_account(account_id)
        if ("account", account_id) in self._account_of:
            return None
        if self._ask is not None:
            try:
                if not self._ask(account_id):
                    return refusal
            except UnavailableError as away:
                refusal = away
            else:
                self._account_of["account", account_id] = account_id
                return None
        return None if self._waited_for("account", account_id, account_id) else refusal

    def require_account(self, account_id: str) -> None:
        """Raise NotFoundError for an account that there is not, UnavailableError where nobody can tell."""
        if (refusal := self.account_refusal(account_id)) is not None:
            raise refusal

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
