"""`POST /internal/verdicts`: what the meter says, at once when something exceeds and every second as a sign of life."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from schemas.envelope import UtcDatetime
from services.analytics.admin_api import bearer_only, json_response
from services.analytics.alerts import store
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.verdict import Verdict
from services.analytics.database import Database, rows_of

MOST_VERDICTS = 2_000


class Judgements(BaseModel):
    """What a meter says. `signals` are those that it judges: their open alerts are told back."""

    model_config = ConfigDict(allow_inf_nan=False)

    meter: Annotated[str, Field(min_length=1, max_length=128)]
    sent_at: UtcDatetime
    lag_s: Annotated[float, Field(ge=0)] = 0.0
    signals: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    verdicts: Annotated[list[Verdict], Field(max_length=MOST_VERDICTS)] = []


def router(database: Database, desk: AlertDesk, service_token: str) -> APIRouter:
    """The call. Without a service token nobody may make it."""
    routes = APIRouter(prefix="/internal", include_in_schema=False)
    if not service_token:
        return routes

    @routes.post("/verdicts", dependencies=[Depends(bearer_only(service_token))])
    async def take_verdicts(said: Judgements) -> Response:
        await desk.take(said.verdicts)
        async with database.transaction() as connection:
            heard = {"meter": said.meter, "sent_at": said.sent_at, "lag_s": said.lag_s}
            await rows_of(connection, store.SQL, "hear_meter", heard)
            still = await rows_of(connection, store.SQL, "open_subjects", {"signals": list(said.signals)})
        return json_response({"open": still})

    return routes
