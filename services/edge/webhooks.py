"""`POST /webhooks/stripe`: what a payment provider sends goes on to settlement, byte for byte; settlement checks it."""

import structlog
from starlette.types import Receive, Scope, Send

from services.edge import metrics
from services.edge.bodies import BodyReader
from services.edge.errors import ApiError, ClientGoneError, PeerUnavailableError, UnavailableError
from services.edge.replies import JSON_TYPE, Reply, send_error
from services.edge.settlement import Settlement

log = structlog.get_logger(__name__)
MAX_BYTES = 1024 * 1024
TIMEOUT_S = 10.0
SIGNATURE = b"stripe-signature"


class StripeWebhook:
    """No key of ours is asked for: the provider has none, its signature speaks for it."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._bodies = BodyReader(limit_bytes=MAX_BYTES, timeout_s=TIMEOUT_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(dict(scope["headers"]), receive)
        except ClientGoneError:
            return
        except ApiError as error:
            metrics.REQUESTS.labels("webhook", error.status).inc()
            await send_error(send, error)
        except PeerUnavailableError as error:
            log.warning("cannot pass a webhook on", error=str(error))
            metrics.REQUESTS.labels("webhook", 503).inc()
            await send_error(send, UnavailableError("unavailable", "This cannot be taken now. Send it again."))
        else:
            metrics.REQUESTS.labels("webhook", reply.status).inc()
            await reply(scope, receive, send)

    async def _reply(self, headers: dict[bytes, bytes], receive: Receive) -> Reply:
        body = await self._bodies.read(headers, receive)
        signature = headers.get(SIGNATURE)
        passed = {} if signature is None else {SIGNATURE.decode(): signature.decode("latin-1")}
        answer = await self._settlement.webhook("stripe", body, passed)
        retry = [(b"retry-after", b"1")] if answer.status_code == 503 else []
        return Reply(answer.status_code, answer.content, [JSON_TYPE, *retry])
