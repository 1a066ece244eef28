"""A request in the words of a candidate's provider, found before anything is asked of its channel. Sync."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
import structlog

from services.router.call import Call
from services.router.clients.naming import renamed
from services.router.dialects.dialect import Dialect, no_meaning
from services.router.dialects.known import DIALECTS
from services.router.errors import RefusalError, UpstreamError
from services.router.plan import nothing_usable

log = structlog.get_logger(__name__)


def dialect_of(call: Call, index: int) -> Dialect:
    """The wire format that a candidate speaks."""
    return DIALECTS[call.ask.mode][call.plan.places[index].channel.dialect]


def said(call: Call, index: int) -> bytes:
    """The request as a candidate's provider reads it, kept until another one is asked for.

    Under the candidate's hold it has that hold's cap; before there is one, the most that a hold may allow, so that what even
    that cannot say needs no hold. Raises :class:`UpstreamError` (not_translatable).
    """
    cover = call.covers.get(index)
    cap = call.most_output if cover is None else cover.grant.output_cap
    if call.said is None or call.said[:2] != (index, cap):
        call.said = (index, cap, body_for(dialect_of(call, index), call, call.plan.places[index].upstream_model, cap))
    return call.said[2]


def unsaid(call: Call, index: int) -> UpstreamError | None:
    """What keeps the request from being put to a candidate, None where nothing does. A defect here costs that candidate."""
    if index not in call.unsaid:
        try:
            said(call, index)
        except UpstreamError as failure:
            call.unsaid[index] = failure
        except Exception:
            log.exception("translation_broke", request_id=str(call.context.request_id), candidate=index)
            call.unsaid[index] = UpstreamError("internal", "next")
    return call.unsaid.get(index)


def told(call: Call, indexes: Iterable[int], resting: Iterable[int]) -> list[int]:
    """These candidates without those at their head that cannot be told the request: they need no hold.

    What comes after the first that can is looked at when its turn comes. Raises :class:`RefusalError` where none can: with
    the parameter's name, unless one of those that are passed over now could be told it later.
    """
    left = list(indexes)
    while left and unsaid(call, left[0]) is not None:
        left.pop(0)
    if left:
        return left
    later = [index for index in resting if unsaid(call, index) is None]
    raise nothing_usable(call.plan, later) if later else _refusal(next(iter(call.unsaid.values())))


def _refusal(failure: UpstreamError) -> RefusalError:
    """The refusal as it is answered before any hold."""
    if not failure.body:
        return RefusalError(502, failure.error_class, "The request could not be put into the words of any provider.")
    error = orjson.loads(failure.body)["error"]
    return RefusalError(failure.status or 400, error["code"], error["message"], param=error["param"])


def body_for(dialect: Dialect, call: Call, model: str, output_cap: int) -> bytes:
    """The request for the upstream. A value of a type that no API takes there is the client's fault, and no channel's."""
    try:
        return dialect.request_body(call.ask, model, output_cap)
    except UpstreamError as failure:
        raise renamed(failure, call.api.names) from None
    except (TypeError, KeyError, AttributeError, ValueError, IndexError) as exc:
        raise no_meaning("messages", "A value of the request has another type than the provider of this route takes.") from exc
