"""The admin calls about alerts: list, look at one, acknowledge, silence, end, and answer what its rule wants frozen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.analytics.admin_api import Since, Until, as_utc, json_response
from services.analytics.admin_calls import Caller, operation, permit
from services.analytics.alerts import machine
from services.analytics.alerts.desk import Act, AlertDesk
from services.analytics.alerts.machine import Alert, State
from services.analytics.alerts.models import AlertDetail, AlertsPage, Because
from services.analytics.alerts.views import Asked, Views
from services.analytics.audit import who
from services.analytics.errors import UnknownAlertError
from services.analytics.http_errors import ErrorReply

ALERTS_SHOWN = 500
CONFLICT = {409: {"model": ErrorReply}}
WEEK = timedelta(days=7)
Text = Annotated[str | None, Query(min_length=1, max_length=256)]
After = Annotated[str | None, Query(max_length=200, description="The next_after of the page before.")]
Limit = Annotated[int, Query(ge=1, le=ALERTS_SHOWN)]
States = Annotated[list[State] | None, Query(description="Only those in these states; without it, all that fired.")]


def router(views: Views, desk: AlertDesk) -> APIRouter:
    """The routes under `/admin/alerts`."""
    routes = APIRouter(prefix="/admin/alerts")
    _add_reading(routes, views)
    _add_acting(routes, views, desk)
    _add_deciding(routes, views, desk)
    return routes


def _add_reading(routes: APIRouter, views: Views) -> None:
    @routes.get("", response_model=AlertsPage, **operation("usage.read", "List alerts", about="query"))
    async def list_alerts(  # noqa: PLR0917 - FastAPI passes them by name
        caller: Caller,
        since: Since = None,
        until: Until = None,
        account_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        state: States = None,
        rule: Text = None,
        subject_id: Text = None,
        after: After = None,
        limit: Limit = ALERTS_SHOWN,
    ) -> Response:
        """Those under way in the time asked for (the last week), of one account or of all that the caller may see."""
        end = as_utc(until, "to") or datetime.now(UTC) + timedelta(minutes=1)
        accounts = frozenset({account_id}) if account_id else caller.accounts_with("usage.read")
        begin = as_utc(since, "from") or end - WEEK
        return json_response(await views.page(Asked(begin, end, accounts, state, rule, subject_id, after, limit)))

    @routes.get("/{alert_id}", response_model=AlertDetail, **operation("usage.read", "Get an alert", about="entity"))
    async def get_alert(alert_id: UUID, caller: Caller) -> Response:
        """With what happened to it, the newest first, what made it up, and what its rule wants frozen."""
        alert = await views.alert(alert_id)
        permit(caller, "usage.read", alert.last.account_id or None, UnknownAlertError("alert", str(alert_id)))
        return json_response(await views.detail(alert_id))


def _add_acting(routes: APIRouter, views: Views, desk: AlertDesk) -> None:
    def add(verb: str, summary: str, told: str, acting: Callable[[str, str | None], Act]) -> None:
        async def acted(alert_id: UUID, caller: Caller, request: Request, why: Because | None = None) -> Response:
            because = why or Because()
            await _permitted(views, caller, alert_id)
            by = who(request, because.author)
            await desk.act(alert_id, by, f"alert.{verb}", acting(by.author, because.reason), because.reason)
            return json_response(await views.detail(alert_id))

        acted.__doc__ = told
        permitted = operation("alert.write", summary, about="entity")
        permitted["responses"] |= CONFLICT
        routes.add_api_route(
            f"/{{alert_id}}/{verb}", acted, methods=["POST"], response_model=AlertDetail, name=f"{verb}_alert", **permitted
        )

    add("acknowledge", "Acknowledge an alert", "Somebody looks after it; doing so again is harmless.", _acknowledge)
    add("resolve", "End an alert", "It comes back as a flap if its signal still exceeds.", _resolve)


def _add_deciding(routes: APIRouter, views: Views, desk: AlertDesk) -> None:
    def add(verb: str, summary: str, told: str, *, approve: bool) -> None:
        async def decided(alert_id: UUID, caller: Caller, request: Request, why: Because | None = None) -> Response:
            because = why or Because()
            await _permitted(views, caller, alert_id)
            await desk.decide(alert_id, who(request, because.author), approve=approve, reason=because.reason)
            return json_response(await views.detail(alert_id))

        decided.__doc__ = told
        permitted = operation("alert.write", summary, about="entity")
        permitted["responses"] |= CONFLICT
        routes.add_api_route(
            f"/{{alert_id}}/{verb}", decided, methods=["POST"], response_model=AlertDetail, name=f"{verb}_alert", **permitted
        )

    add("approve", "Freeze what an alert asks to freeze", "Carried out at once; 409 where nothing is asked.", approve=True)
    add("decline", "Leave alone what an alert asks to freeze", "409 where nothing is asked.", approve=False)


async def _permitted(views: Views, caller: Caller, alert_id: UUID) -> Alert:
    alert = await views.alert(alert_id)
    permit(caller, "alert.write", alert.last.account_id or None, UnknownAlertError("alert", str(alert_id)))
    return alert


def _acknowledge(by: str, reason: str | None) -> Act:
    return partial(_with_reason, machine.acknowledge, by, reason)


def _resolve(by: str, reason: str | None) -> Act:
    return partial(_with_reason, machine.resolve, by, reason)


def _with_reason(
    act: Callable[[Alert, str, datetime, str | None], machine.Step], by: str, reason: str | None, alert: Alert, at: datetime
) -> machine.Step:
    return act(alert, by, at, reason)
