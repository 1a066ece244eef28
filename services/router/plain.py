"""Plain replies: the body waits until the request's record is safe."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from schemas.attempts import Outcome, UsageSource
from schemas.calls import TOKENS_HEADER
from schemas.money import Usage
from services.router.answers import JSON, Answer, cost_fields, failure_answer, failure_status, route_headers
from services.router.attempts import AttemptLoop
from services.router.bounds import estimated_output_tokens
from services.router.call import Call, Charge, Outgoing, Running
from services.router.departure import unless_gone
from services.router.dialects import openai
from services.router.errors import UpstreamError
from services.router.presence import Receive, has_gone
from services.router.settling import Settler, estimate
from services.router.upstream import Upstream


class Priced(NamedTuple):
    """A plain reply, ready to go out once its record is safe."""

    usage: Usage
    source: UsageSource
    charge: Charge
    body: bytes
    upstream_id: str | None


class PlainDelivery:
    """Answers requests that do not stream."""

    def __init__(self, attempts: AttemptLoop, upstream: Upstream, settler: Settler) -> None:
        self._attempts = attempts
        self._upstream = upstream
        self._settler = settler

    async def answer(self, call: Call, receive: Receive) -> Answer:
        """The whole reply. Raises :class:`LogUnavailableError` where the record could not be written.

        Where the client has gone, the channel's policy says whether the provider's real usage is waited for and charged, or
        the call is ended: nothing is charged then, since nothing was delivered.
        """

        async def fetch(call: Call, running: Running) -> Priced:
            return await unless_gone(running, receive, self._fetch(call, running))

        try:
            priced, running = await self._attempts.run(call, fetch, lambda: has_gone(receive))
        except UpstreamError as failure:
            return await fail(call, self._settler, failure)
        return await self._succeed(call, running, priced, receive)

    async def _fetch(self, call: Call, running: Running) -> Priced:
        return price(call, running, await self._upstream.fetch(call, running))

    async def _succeed(self, call: Call, running: Running, priced: Priced, receive: Receive) -> Answer:
        gone = has_gone(receive)
        finished = call.finished(
            running,
            priced.usage,
            priced.source,
            monotonic(),
            upstream_id=priced.upstream_id,
            after_disconnect="drained" if gone else None,
        )
        charge = priced.charge
        out = Outgoing("cancelled", 499, "client_gone", charge) if gone else Outgoing("succeeded", 200, None, charge)
        await self._settler.settle(call, out, finished)
        headers = route_headers(call, running, call.overhead_ms(monotonic()))
        told = (TOKENS_HEADER.encode(), b"%d" % priced.usage.total_tokens)
        return Answer(200, [JSON, (b"content-length", b"%d" % len(priced.body)), told, *headers], priced.body)


def price(call: Call, running: Running, reply: openai.Reply) -> Priced:
    """The reply with its price, as the bytes that the client gets.

    Raises :class:`UpstreamError` (malformed_reply, with the usage that it burned) for a reply that is nested deeper than it
    can be written again: this must be known while another candidate can still be asked, and before anything is charged.
    """
    try:
        usage, source = _usage(call, running, reply)
        charge = call.charge(running, usage)
        cost = cost_fields(charge)
        body = call.api.plain(call.ask, reply, openai.priced(reply, usage, cost), cost)
        return Priced(usage, source, charge, body, reply.upstream_id)
    except TypeError as exc:
        raise UpstreamError("malformed_reply", "next", status=200, usage=reply.usage, upstream_id=reply.upstream_id) from exc


def _usage(call: Call, running: Running, reply: openai.Reply) -> tuple[Usage, UsageSource]:
    if reply.usage is not None:
        return reply.usage, "reported"
    tokens = estimated_output_tokens(text_chars=openai.reply_text_chars(reply.document), cap=10**9)
    return estimate(call, running, tokens)


async def fail(call: Call, settler: Settler, failure: UpstreamError) -> Answer:
    """The reply of a request that no attempt answered, once its record is safe. Charged is what a policy says, else nothing."""
    outcome: Outcome = "cancelled" if failure.error_class == "client_gone" else "failed"
    charge = call.charge_burned()
    await settler.settle(call, Outgoing(outcome, failure_status(failure), failure.error_class, charge))
    headers = route_headers(call, None, call.overhead_ms(monotonic()))
    return failure_answer(failure, headers, model=call.ask.model, charge=charge)
