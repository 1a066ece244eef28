"""The end of a request: its record is safe before anyone sees the end of its reply."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from schemas.attempts import UsageSource
from schemas.money import Usage
from services.router import metrics
from services.router.call import Call, Outgoing, Running
from services.router.documents import AttemptDocument
from services.router.events import Record


class Log(Protocol):
    """Where a request's last records go."""

    async def put_and_wait(self, account_id: str, records: list[Record]) -> None:
        """Return when they are safe. Raises :class:`LogUnavailableError`."""
        ...


class Settler:
    """Writes RequestCompleted and waits until it is safe."""

    def __init__(self, publisher: Log) -> None:
        self._publisher = publisher

    async def settle(self, call: Call, out: Outgoing, finished: AttemptDocument | None = None) -> None:
        """Write the record after the last attempt's own event. On :class:`LogUnavailableError` the hold stays open.

        Raises :class:`SettledTwiceError` for a request that has its record.
        """
        ending = call.ending(out, monotonic())
        records = [] if finished is None else [call.writer.attempt_finished(finished)]
        records.append(call.writer.request_completed(ending))
        call.settle_once()
        metrics.REQUESTS.labels(outcome=out.outcome, error_class=out.error_class or "").inc()
        if out.charge is not None and out.charge.overrun:
            metrics.HOLD_OVERRUNS.inc()
        metrics.OVERHEAD.observe(ending["overhead_ms"] / 1000)
        await self._publisher.put_and_wait(call.context.account_id, records)


def estimate(call: Call, running: Running, output_tokens: int, prompt: Usage | None = None) -> tuple[Usage, UsageSource]:
    """The usage of an attempt whose upstream reported none, or only that of the `prompt`."""
    cap = running.cover.grant.output_cap * call.ask.choices
    if prompt is not None:
        return prompt.model_copy(update={"output_tokens": min(output_tokens, cap)}), "estimated"
    return Usage(input_tokens=call.ask.prompt_estimate(call.tokens_bound), output_tokens=min(output_tokens, cap)), "estimated"
