"""Calls that create: once, also where the command was cut and is run again."""

from typing import Any

from services.console.errors import RefusedError, UnreachableError
from services.console.service_client import ServiceClient
from services.console.session import Session

UNDECIDED = frozenset({408, 425, 429})
"""Refusals that leave it open, with every 5xx, whether what was asked for has been or will be done."""
IN_PROGRESS = "in_progress"


def create(
    session: Session, client: ServiceClient, path: str, body: dict[str, Any], *, key: str | None, asked: Any = None
) -> Any:
    """The reply to a POST under an idempotency key in its header. `asked` names the command where its body has times."""
    return _once(session, client, path, body=body, key=key, asked=asked, in_body=None)


def post_money(
    session: Session,
    client: ServiceClient,
    path: str,
    body: dict[str, Any],
    *,
    key: str | None,
    key_field: str = "key",
    asked: Any = None,
) -> Any:
    """The same for a call that moves money, whose key is a field of its body and counts for ever."""
    return _once(session, client, path, body=body, key=key, asked=asked, in_body=key_field)


def _once(
    session: Session,
    client: ServiceClient,
    path: str,
    *,
    body: dict[str, Any],
    key: str | None,
    asked: Any,
    in_body: str | None,
) -> Any:
    with session.pending.order([client.where, path, asked or body], body, key) as order:
        if order.again:
            session.terminal.progress("the same command was cut before: it is asked again, and done once")
        try:
            if in_body is None:
                reply = client.post(path, order.body, idempotency_key=order.key)
            else:
                reply = client.post(path, {**order.body, in_body: order.key})
        except RefusedError as error:
            order.done = error.status < 500 and error.status not in UNDECIDED and error.code != IN_PROGRESS
            raise
        except UnreachableError as error:
            raise UnreachableError(error.fact, f"{error.hint}; then run the same command again: it is done once") from error
        order.done = True
        return reply
