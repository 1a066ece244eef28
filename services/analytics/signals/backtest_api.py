"""`POST /admin/alert-rules/backtest`: what a rule file would have said of the past. Changes nothing."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.alert_rules import AlertRules
from services.analytics.admin_api import Since, Until, as_utc, json_response
from services.analytics.admin_calls import operation
from services.analytics.errors import QueryRefusedError
from services.analytics.signals.backtest import backtest
from services.analytics.signals.past import Past, past_of
from services.analytics.signals.rule_api import rules_in, taking
from services.analytics.signals.rule_models import RulesBacktest
from services.analytics.signals.walk import Would
from services.analytics.warehouse import Warehouse

MOST_DAYS = 31
MOST_SHOWN = 500


def router(warehouse: Warehouse) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/admin/alert-rules")
    turn = asyncio.Lock()

    @routes.post(
        "/backtest",
        response_model=RulesBacktest,
        **taking(operation("rule.read", "Try a rule file on the past"), 422),
    )
    async def backtest_alert_rules(request: Request, since: Since = None, until: Until = None) -> Response:
        """What would have fired between `from` and `to` (the last hour; 31 days at most): nothing is kept, nobody is told.

        Minutes are judged whole, where the meter judges every second: what is short of a minute may be missed.
        """
        _, rules = await rules_in(request)
        begin_s, end_s = _seconds(since, until)
        async with turn:
            past = await past_of(warehouse, begin_s, end_s)
            found = await asyncio.to_thread(_tried, rules, past)
        return json_response(found)

    return routes


def _seconds(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """From when to when, in seconds since 1970. Raises QueryRefusedError."""
    end = as_utc(until, "to") or datetime.now(UTC)
    begin = as_utc(since, "from") or end - timedelta(hours=1)
    if begin >= end:
        raise QueryRefusedError("from", "`from` must lie before `to`")
    if end - begin > timedelta(days=MOST_DAYS):
        raise QueryRefusedError("from", f"a rule file is tried on {MOST_DAYS} days at most")
    return int(begin.timestamp()) // 60 * 60, int(end.timestamp())


def _tried(rules: AlertRules, past: Past) -> dict[str, Any]:
    found = sorted(backtest(rules, past), key=lambda would: (would.fired_at, would.first.rule, would.first.subject_id))
    fired = Counter(would.first.rule for would in found)
    return {
        "minutes": past.size,
        "fired": {rule.id: fired[rule.id] for rule in rules.rules},
        "truncated": len(found) > MOST_SHOWN,
        "alerts": [_shown(would) for would in found[:MOST_SHOWN]],
    }


def _shown(would: Would) -> dict[str, Any]:
    first = would.first
    return {
        **{name: getattr(first, name) for name in ("rule", "signal", "subject_kind", "subject_id", "account_id", "severity")},
        **{name: getattr(first, name) for name in ("action", "baseline", "threshold", "unit")},
        "fired_at": would.fired_at,
        "ended_at": would.ended,
        "observed": would.peak,
    }
