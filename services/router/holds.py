"""Asking for holds: many callers, few calls."""

from __future__ import annotations

from collections.abc import Callable

from schemas.calls import HoldRequest, HoldResult
from services.router.coalescer import Coalescer, CoalescerFullError, CoalescerLimits
from services.router.errors import LedgerUnavailableError
from services.router.ledger import Ledger, apart, insist

HOLDS_PER_CALL = 64


class HoldCoalescer:
    """Holds that are asked for while calls are under way travel together in the next one.

    A call that settlement does not answer is repeated under the same hold ids until `bound_s`, so that a lost answer never
    makes a second hold.
    """

    def __init__(self, ledger: Ledger, *, in_flight: int, waiting: int, bound_s: float, draw: Callable[[], float]) -> None:
        self._ledger = ledger
        self._bound_s = bound_s
        self._draw = draw
        self._coalescer: Coalescer[HoldRequest, HoldResult | LedgerUnavailableError] = Coalescer(
            self._send, CoalescerLimits(batch=HOLDS_PER_CALL, in_flight=in_flight, waiting=waiting)
        )

    async def hold(self, request: HoldRequest) -> HoldResult:
        """Settlement's answer. Raises :class:`LedgerUnavailableError` where none came in time or too many wait."""
        try:
            answer = await self._coalescer.submit(request)
        except CoalescerFullError as exc:
            raise LedgerUnavailableError("too many requests wait for a hold") from exc
        if isinstance(answer, LedgerUnavailableError):
            raise answer
        return answer

    async def _send(self, requests: list[HoldRequest]) -> list[HoldResult | LedgerUnavailableError]:
        return await apart(self._insist, requests)

    async def _insist(self, requests: list[HoldRequest]) -> list[HoldResult]:
        return await insist(lambda: self._ledger.hold(requests), bound_s=self._bound_s, draw=self._draw)
