"""Asks analytics for rules and baselines. While it is away, what was told last counts."""

import asyncio
import time
from collections.abc import Callable

import httpx
import structlog
from pydantic import ValidationError

from services.analytics.errors import RulesRefusedError
from services.analytics.meter.knowledge import Knowledge, ToldRules, ToldUsuals

EVERY_S = 0.5
USUALS_EVERY_S = 30.0
TIMEOUT = httpx.Timeout(5, connect=1)
log = structlog.get_logger("analytics.meter")


class Learner:
    """Follows the rules twice a second, and the baselines of each hour."""

    def __init__(
        self, knowledge: Knowledge, analytics_url: str, service_token: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._knowledge = knowledge
        self._clock = clock
        self._next_s = 0.0
        self._away = False
        headers = {"authorization": f"Bearer {service_token}"}
        self._http = httpx.AsyncClient(base_url=analytics_url, headers=headers, timeout=TIMEOUT, trust_env=False)

    async def close(self) -> None:
        """Close the connections to analytics."""
        await self._http.aclose()

    async def learn(self) -> None:
        """Ask once, and pause."""
        try:
            if await self._rules() | await self._usuals():
                await asyncio.to_thread(self._knowledge.keep)
        except (httpx.HTTPError, ValidationError, RulesRefusedError, OSError) as error:
            if not self._away:
                log.warning("the meter goes on by what it knows", error=type(error).__name__, detail=str(error)[:200])
            self._away = True
        except Exception:
            # Tried again: a meter that learns no more would judge by what is long over.
            log.exception("the meter met a fault while learning")
        else:
            self._away = False
        await asyncio.sleep(EVERY_S)

    async def _rules(self) -> bool:
        reply = await self._http.get("/internal/meter/rules", params={"known": self._knowledge.version})
        reply.raise_for_status()
        if reply.status_code == httpx.codes.NO_CONTENT:
            return False
        self._knowledge.take_rules(ToldRules.model_validate_json(reply.content))
        log.info("the meter judges by other rules", version=self._knowledge.version)
        return True

    async def _usuals(self) -> bool:
        now_s = self._clock()
        known = self._knowledge.usuals.hour
        if known == int(now_s) // 3600 or (known and now_s < self._next_s):
            return False
        self._next_s = now_s + USUALS_EVERY_S
        reply = await self._http.get("/internal/meter/baselines", params={"known": self._knowledge.usuals.hour})
        reply.raise_for_status()
        if reply.status_code == httpx.codes.NO_CONTENT:
            return False
        self._knowledge.take_usuals(ToldUsuals.model_validate_json(reply.content))
        return True
