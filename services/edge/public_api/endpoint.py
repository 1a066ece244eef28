"""`GET /openapi.json`: for everybody, made once."""

import orjson
from starlette.types import Receive, Scope, Send

from services.edge.public_api.document import openapi
from services.edge.replies import send_reply


class OpenApiPage:
    """Sends the document."""

    def __init__(self) -> None:
        self._body = orjson.dumps(openapi())

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_reply(send, 200, self._body)
