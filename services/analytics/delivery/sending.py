"""One message from its changes to its outcome: names asked, words found, sent, and no secret in what is said of it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from schemas.alert_receivers import Receiver
from schemas.envelope import now
from services.analytics.delivery import references
from services.analytics.delivery.compose import closing, compose
from services.analytics.delivery.costs import Costs
from services.analytics.delivery.http_sender import HttpSender
from services.analytics.delivery.notice import NOBODY, Notice
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.outgoing import HttpMessage, Item, Outgoing
from services.analytics.delivery.owners import Owners
from services.analytics.delivery.queue import Waiting
from services.analytics.delivery.smtp_sender import SmtpSender

SEND_TIMEOUT_S = 10.0
MOST_ASKED = 20
"""Of so many changes in one message the owners' names and the cost are asked."""
FAULT = "a fault of Tollbook ({}): its log says more"
log = structlog.get_logger("analytics.delivery")


class Sending:
    """Sends. `environ` holds what receivers' variables name; `dashboard_url` is where people find the dashboard, or empty."""

    def __init__(
        self,
        *,
        http: HttpSender,
        smtp: SmtpSender,
        owners: Owners,
        costs: Costs,
        environ: Mapping[str, str],
        dashboard_url: str,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._http = http
        self._smtp = smtp
        self._owners = owners
        self._costs = costs
        self._environ = environ
        self._dashboard_url = dashboard_url
        self._clock = clock

    async def send(self, receiver: Receiver, rows: Sequence[Waiting], until_s: float = float("inf")) -> Outcome:
        """Send what waits as one message. Never raises: a fault of ours is tried again, and other messages go on.

        Nothing is begun after `until_s` of the monotonic clock: by then another process may send it.
        """
        try:
            read = references.read(receiver, self._environ)
            items = await self._items(rows)
            message = compose(receiver, items, read, dashboard_url=self._dashboard_url, now=self._clock())
        except references.NotConfiguredError as error:
            return Later(str(error))
        except Exception as error:
            log.exception("message_not_made", deliveries=[str(row.delivery_id) for row in rows])
            return Later(FAULT.format(type(error).__name__))
        if time.monotonic() > until_s:
            return Later("this process was held up, and another may send it")
        return await self._sent(message, read)

    async def test(self, receiver: Receiver, notice: Notice, delivery_id: str) -> Outcome:
        """Send a test, and close again what it opened."""
        try:
            read = references.read(receiver, self._environ)
            item = await self._item(delivery_id, notice)
            message = compose(receiver, [item], read, dashboard_url=self._dashboard_url, now=self._clock())
            after = closing(receiver, item, read)
        except references.NotConfiguredError as error:
            return GivenUp(str(error))
        outcome = await self._sent(message, read)
        return await self._sent(after, read) if after is not None and isinstance(outcome, Sent) else outcome

    async def _items(self, rows: Sequence[Waiting]) -> list[Item]:
        """Names and costs of the first are asked at once; of the many in a storm, nobody reads the rest."""
        return await asyncio.gather(
            *(self._item(str(row.delivery_id), row.notice) for row in rows[:MOST_ASKED]),
            *(self._unasked(str(row.delivery_id), row.notice) for row in rows[MOST_ASKED:]),
        )

    async def _item(self, delivery_id: str, notice: Notice) -> Item:
        owner, cost = await asyncio.gather(self._owners.owner(notice), self._costs.cost(notice))
        costed = notice.model_copy(update={"cost_nano": dict(cost)})
        return Item.of(delivery_id, costed, owner, self._dashboard_url)

    async def _unasked(self, delivery_id: str, notice: Notice) -> Item:
        return Item.of(delivery_id, notice, NOBODY, self._dashboard_url)

    async def _sent(self, message: Outgoing, read: Mapping[str, str]) -> Outcome:
        try:
            sender = self._http.send(message) if isinstance(message, HttpMessage) else self._smtp.send(message)
            return _without_secrets(await sender, read)
        except Exception as error:  # noqa: BLE001 - what a library raises that nobody foresaw must not end the others
            log.error("message_not_sent", error=type(error).__name__)  # noqa: TRY400 - its text may hold an address
            return Later(FAULT.format(type(error).__name__))


def _without_secrets(outcome: Outcome, read: Mapping[str, str]) -> Outcome:
    """A receiver may repeat what it was sent: nobody else gets to see that."""
    secrets = read.values()
    match outcome:
        case Later():
            return Later(references.without(outcome.reason, secrets), outcome.status, outcome.after_s)
        case GivenUp():
            return GivenUp(references.without(outcome.reason, secrets), outcome.status)
        case Sent():
            return outcome
