"""`tollbook status`: whether each service can do its work."""

from dataclasses import asdict, dataclass

import typer

from services.console.addresses import SERVICES
from services.console.errors import FOUND_WRONG, ConsoleError, HintedError, RefusedError
from services.console.session import Json, Session, session_of


@dataclass(frozen=True)
class _State:
    """One service; `hint` is what to do about it, in words that fit every service."""

    service: str
    ready: bool
    reason: str | None = None
    hint: str = ""


def status(context: typer.Context, as_json: Json = False) -> None:
    """Ask every service whether it is ready."""
    session = session_of(context)
    found = [_state(session, service) for service in SERVICES]
    if as_json:
        session.terminal.json({"data": [asdict(each) for each in found]})
    else:
        session.terminal.table(
            ("service", "ready", "why not"), [(each.service, "yes" if each.ready else "no", each.reason) for each in found]
        )
        for hint in dict.fromkeys(each.hint for each in found if each.hint):
            session.terminal.error(f"To do: {hint}")
    if not all(each.ready for each in found):
        raise typer.Exit(FOUND_WRONG)


def _state(session: Session, service: str) -> _State:
    try:
        with session.connect(service) as client:
            client.get("/readyz")
    except RefusedError as error:
        return _State(service, ready=False, reason=error.reason or str(error))
    except HintedError as error:
        hint = error.hint.replace(f"--{service}-", "--SERVICE-").replace(f"_{service.upper()}_", "_SERVICE_")
        return _State(service, ready=False, reason=error.fact, hint=hint)
    except ConsoleError as error:
        return _State(service, ready=False, reason=str(error))
    return _State(service, ready=True)
