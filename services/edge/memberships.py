"""Runs that requests join: asked of settlement once, since whose a run is and what it allows never change."""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from schemas.runs import RUN_PREFIX, RunMembership
from services.edge import metrics
from services.edge.caller import Caller
from services.edge.errors import (
    ForbiddenError,
    NotFoundError,
    PassedOnError,
    PeerUnavailableError,
    UnavailableError,
)
from services.edge.settlement import Settlement

log = structlog.get_logger(__name__)

REMEMBERED = 10_000
MAX_SHOWN = 128
_RUN_ID = re.compile(rf"{RUN_PREFIX}[A-Za-z0-9_-]{{1,96}}")
Fetch = Callable[[str, str], Awaitable[RunMembership]]
"""(account id, run id) → the run. Raises :class:`PassedOnError` where the account has none of that id."""


@dataclass(slots=True)
class _Entry:
    """A run, and its key as its member: made anew when the key was read anew."""

    run: RunMembership
    key: Caller | None = None
    member: Caller | None = None


class Memberships:
    """Lets keys into their runs. Bounded: the run that was joined longest ago is forgotten first."""

    def __init__(self, fetch: Fetch, *, remembered: int = REMEMBERED) -> None:
        self._fetch = fetch
        self._remembered = remembered
        self._known: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    async def join(self, caller: Caller, run_id: str) -> Caller:
        """The caller within the run: its policy narrowed by the run's rules.

        Raises :class:`NotFoundError` for an unknown run, also another account's, :class:`ForbiddenError` for another key's.
        """
        entry = await self._entry(caller, run_id)
        if entry.key is not caller or entry.member is None:
            entry.key, entry.member = caller, caller.within(entry.run)
        return entry.member

    async def require(self, caller: Caller, run_id: str) -> None:
        """Raise as :meth:`join` does."""
        await self._entry(caller, run_id)

    async def _entry(self, caller: Caller, run_id: str) -> _Entry:
        name = (caller.account_id, run_id)
        entry = self._known.get(name)
        if entry is None:
            entry = self._known[name] = _Entry(await self._read(caller.account_id, run_id))
        self._known.move_to_end(name)
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        if entry.run.key_id != caller.key.key_id:
            message = f"The run {run_id} belongs to another API key. Use that key, or open a run with this one."
            raise ForbiddenError("run_not_allowed", message, param="run_id")
        return entry

    async def _read(self, account_id: str, run_id: str) -> RunMembership:
        try:
            run = await self._fetch(account_id, known_form(run_id))
        except PassedOnError as refused:
            if refused.status != 404:
                raise
            metrics.RUN_LOOKUPS.labels("unknown").inc()
            raise _unknown(run_id) from None
        except PeerUnavailableError as error:
            log.warning("cannot look up a run", error=str(error))
            metrics.RUN_LOOKUPS.labels("unavailable").inc()
            raise UnavailableError("ledger_unavailable", "The run cannot be looked up now. Try again.") from error
        metrics.RUN_LOOKUPS.labels("found").inc()
        return run


def known_form(run_id: str) -> str:
    """The id, if it has the form of one. Raises :class:`NotFoundError`: nobody needs to be asked about another."""
    if not _RUN_ID.fullmatch(run_id):
        raise _unknown(run_id[:MAX_SHOWN])
    return run_id


def memberships_of(settlement: Settlement) -> Memberships:
    """Memberships as settlement has them."""

    async def fetch(account_id: str, run_id: str) -> RunMembership:
        answer = await settlement.read(account_id, "runs", run_id, "membership")
        try:
            return RunMembership.model_validate(answer)
        except ValidationError as error:
            raise PeerUnavailableError("settlement's answer about a run cannot be read") from error

    return Memberships(fetch)


def _unknown(run_id: str) -> NotFoundError:
    return NotFoundError("run_not_found", f"There is no run {run_id!r}. Open one with POST /v1/runs.", param="run_id")
