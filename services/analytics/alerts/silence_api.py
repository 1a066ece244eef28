"""The admin calls about silences: of one alert, or of whatever has the rule, subject, tag and account that they name."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from schemas.access import refusal
from schemas.envelope import new_id
from services.analytics.admin_api import json_response
from services.analytics.admin_calls import Caller, operation, permit
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.models import AlertDetail, Because, NewSilence, SilenceFor, SilenceShown, SilencesPage
from services.analytics.alerts.silences import Silence
from services.analytics.alerts.views import Views, silence_shown
from services.analytics.audit import who
from services.analytics.errors import (
    AlertStateError,
    QueryRefusedError,
    RoleNotAllowedError,
    UnknownAccountError,
    UnknownAlertError,
)
from services.analytics.http_errors import ErrorReply

LONGEST = timedelta(days=366)
CONFLICT = {409: {"model": ErrorReply}}
IdempotencyKey = Annotated[str | None, Header(alias="idempotency-key", min_length=1, max_length=128)]


def router(views: Views, desk: AlertDesk) -> APIRouter:
    """The routes under `/admin`."""
    routes = APIRouter(prefix="/admin")
    _add_of_alert(routes, views, desk)
    _add_silences(routes, views, desk)
    return routes


def _add_of_alert(routes: APIRouter, views: Views, desk: AlertDesk) -> None:
    may = operation("alert.write", "Silence an alert", about="entity")
    may["responses"] |= CONFLICT

    @routes.post("/alerts/{alert_id}/silence", response_model=AlertDetail, **may)
    async def silence_alert(alert_id: UUID, caller: Caller, request: Request, asked: SilenceFor) -> Response:
        """Its rule says nothing about its subject until then. Detection goes on; what still fires afterwards is told."""
        alert = await views.alert(alert_id)
        permit(caller, "alert.write", alert.last.account_id or None, UnknownAlertError("alert", str(alert_id)))
        about = alert.about
        words = {"rule": about.rule, "subject_kind": about.subject_kind, "subject_id": about.subject_id}
        by = who(request, asked.author)
        silence = _silence(asked, by.author, str(new_id()), **words, account_id=alert.last.account_id)
        await desk.add_silence(silence, by)
        return json_response(await views.detail(alert_id))

    may = operation("alert.write", "End the silence of an alert", about="entity")
    may["responses"] |= CONFLICT

    @routes.post("/alerts/{alert_id}/unsilence", response_model=AlertDetail, **may)
    async def unsilence_alert(alert_id: UUID, caller: Caller, request: Request, why: Because | None = None) -> Response:
        """409 where a wider silence covers it: end that one by its id. Harmless where it is not silenced."""
        because = why or Because()
        alert = await views.alert(alert_id)
        permit(caller, "alert.write", alert.last.account_id or None, UnknownAlertError("alert", str(alert_id)))
        if alert.silenced_by is not None:
            silence = await views.silence(UUID(alert.silenced_by))
            if not silence.of_one:
                told = f"The silence {silence.silence_id} covers more than this alert: end it by DELETE /admin/silences/…"
                raise AlertStateError("silenced_with_others", told)
            await desk.end_silence(UUID(alert.silenced_by), who(request, because.author), because.reason)
        return json_response(await views.detail(alert_id))


def _add_silences(routes: APIRouter, views: Views, desk: AlertDesk) -> None:
    @routes.get("/silences", response_model=SilencesPage, **operation("usage.read", "List silences", about="query"))
    async def list_silences(
        caller: Caller,
        account_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        *,
        every: Annotated[bool, Query(alias="all", description="Those that are over too.")] = False,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Those in force, the newest first."""
        accounts = frozenset({account_id}) if account_id else caller.accounts_with("usage.read")
        return json_response(await views.silences(accounts, every=every, after=after, limit=limit))

    may = operation("alert.write", "Make a silence", about="entity")
    may["responses"] |= CONFLICT

    @routes.post("/silences", response_model=SilenceShown, **may)
    async def create_silence(
        caller: Caller, request: Request, asked: NewSilence, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Of whatever has all that it names. Without an account it is the installation's."""
        stranger = UnknownAccountError(asked.account_id) if asked.account_id else RoleNotAllowedError(refusal("alert.write"))
        permit(caller, "alert.write", asked.account_id or None, stranger)
        by = who(request, asked.author)
        named = new_id() if idempotency_key is None else uuid5(NAMESPACE_URL, f"silence/{by.actor}/{idempotency_key}")
        words = asked.model_dump(include={"rule", "subject_kind", "subject_id", "tag", "account_id"})
        return json_response(silence_shown(await desk.add_silence(_silence(asked, by.author, str(named), **words), by)))

    @routes.delete(
        "/silences/{silence_id}", response_model=SilenceShown, **operation("alert.write", "End a silence", about="entity")
    )
    async def end_silence(silence_id: UUID, caller: Caller, request: Request) -> Response:
        """At once; ending one that is over is harmless. What still fires is told."""
        silence = await views.silence(silence_id)
        permit(caller, "alert.write", silence.account_id or None, UnknownAlertError("silence", str(silence_id)))
        return json_response(silence_shown(await desk.end_silence(silence_id, who(request))))


def _silence(asked: SilenceFor, by: str, silence_id: str, **words: Any) -> Silence:
    now = datetime.now(UTC)
    if not now < asked.until <= now + LONGEST:
        raise QueryRefusedError("until", "`until` lies in the future, and within a year")
    return Silence(silence_id=silence_id, until=asked.until, by=by, reason=asked.reason, created_at=now, **words)
