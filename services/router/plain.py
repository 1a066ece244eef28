"""Plain replies: the body waits until the request's record is safe."""

from __future__ import annotations

from time import monotonic

from schemas.attempts import Outcome
from services.router.answers import JSON, Answer, cost_fields, failure_answer, failure_status, route_headers
from services.router.attempts import AttemptLoop
from services.router.bounds import estimated_output_tokens
from services.router.call import Call, Outgoing, Running
from services.router.dialects import openai
from services.router.errors import UpstreamError
from services.router.presence import Receive, has_gone
from services.router.settling import Settler, estimate
from services.router.upstream import Upstream


class PlainDelivery:
    """Answers requests that do not stream."""

    def __init__(self, attempts: AttemptLoop, upstream: Upstream, settler: Settler) -> None:
        self._attempts = attempts
        self._upstream = upstream
        self._settler = settler

    async def answer(self, call: Call, receive: Receive) -> Answer:
        """The whole reply. Raises :class:`LogUnavailableError` where the record could not be written.

        A client that has gone changes nothing but the outcome: the provider's real usage is waited for and charged.
        """
        try:
            reply, running = await self._attempts.run(call, self._upstream.fetch, lambda: has_gone(receive))
        except UpstreamError as failure:
            return await fail(call, self._settler, failure)
        return await self._succeed(call, running, reply, receive)

    async def _succeed(self, call: Call, running: Running, reply: openai.Reply, receive: Receive) -> Answer:
        at = monotonic()
        if reply.usage is not None:
            finished = call.finished(running, reply.usage, "reported", at)
            usage = reply.usage
        else:
            tokens = estimated_output_tokens(text_chars=openai.reply_text_chars(reply.document), cap=10**9)
            usage, source = estimate(call, running, tokens)
            finished = call.finished(running, usage, source, at)
        charge = call.charge(running, usage)
        gone = has_gone(receive)
        out = Outgoing("cancelled", 499, "client_gone", charge) if gone else Outgoing("succeeded", 200, None, charge)
        await self._settler.settle(call, out, finished)
        body = openai.priced_body(reply, usage, cost_fields(charge))
        headers = route_headers(call, running, call.overhead_ms(monotonic()))
        return Answer(200, [JSON, (b"content-length", b"%d" % len(body)), *headers], body)


async def fail(call: Call, settler: Settler, failure: UpstreamError) -> Answer:
    """The reply of a request that no attempt answered, once its record is safe. Nothing is charged."""
    outcome: Outcome = "cancelled" if failure.error_class == "client_gone" else "failed"
    await settler.settle(call, Outgoing(outcome, failure_status(failure), failure.error_class))
    headers = route_headers(call, None, call.overhead_ms(monotonic()))
    return failure_answer(failure, headers)
