"""`tollbook status`: whether each service can do its work."""

from typing import Any

import typer

from services.console.addresses import SERVICES
from services.console.errors import FOUND_WRONG, ConsoleError, RefusedError
from services.console.session import Json, Session, session_of


def status(context: typer.Context, as_json: Json = False) -> None:
    """Ask every service whether it is ready."""
    session = session_of(context)
    found = [_state(session, service) for service in SERVICES]
    if as_json:
        session.terminal.json({"data": found})
    else:
        session.terminal.table(("service", "ready", "why not"), [(row["service"], _word(row), row["reason"]) for row in found])
    if not all(row["ready"] for row in found):
        raise typer.Exit(FOUND_WRONG)


def _state(session: Session, service: str) -> dict[str, Any]:
    try:
        with session.connect(service) as client:
            client.get("/readyz")
    except RefusedError as error:
        return {"service": service, "ready": False, "reason": error.reason or str(error)}
    except ConsoleError as error:
        return {"service": service, "ready": False, "reason": str(error)}
    return {"service": service, "ready": True, "reason": None}


def _word(row: dict[str, Any]) -> str:
    return "yes" if row["ready"] else "no"
