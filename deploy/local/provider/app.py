"""The simulator's wiring: which URL goes where."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from deploy.local.provider import framing
from deploy.local.provider.channel import Channel, Channels
from deploy.local.provider.completion import complete
from deploy.local.provider.control import Control
from deploy.local.provider.delivery import Delivery
from deploy.local.provider.dialects import Dialect, Stamp
from deploy.local.provider.dialects.anthropic import Anthropic
from deploy.local.provider.dialects.gemini import Gemini
from deploy.local.provider.dialects.gemini_embeddings import GeminiEmbeddings
from deploy.local.provider.dialects.openai import OpenAI
from deploy.local.provider.dialects.openai_embeddings import OpenAIEmbeddings
from deploy.local.provider.dialects.openai_responses import OpenAIResponses
from deploy.local.provider.errors import BadControlError, RefusedError
from deploy.local.provider.request import Request

ROUTES_MAX = 4_096
DIALECTS: tuple[Dialect, ...] = (OpenAI(), Anthropic(), Gemini(), OpenAIResponses(), OpenAIEmbeddings(), GeminiEmbeddings())


class Route(NamedTuple):
    """A target taken apart: the channel, who answers there, the path below the channel, and whether it completes."""

    channel: Channel
    dialect: Dialect
    path: bytes
    completes: bool


class Simulator:
    """Answers every request of every connection."""

    def __init__(
        self,
        dialects: Sequence[Dialect] = DIALECTS,
        clock: Callable[[], float] = time.time,
        id_prefix: bytes | None = None,
    ) -> None:
        self.channels = Channels()
        self._control = Control(self.channels)
        self._dialects = dialects
        self._clock = clock
        self._prefix = os.urandom(4).hex().encode() if id_prefix is None else id_prefix
        self._numbers = count(1)
        self._routes: dict[bytes, Route] = {}

    def answer(self, request: Request) -> bytes | Delivery:
        """The reply: bytes to write at once, or a delivery to play."""
        route = self._routes.get(request.target)
        if route is None:
            route = self._resolve(request.target)
            if route is None:
                return self._elsewhere(request)
        if route.completes and request.method == b"POST":
            number = b"%b%016x" % (self._prefix, next(self._numbers))
            stamp = Stamp(number, int(self._clock()), route.dialect.id_prefix)
            return complete(route.channel, route.dialect, request, stamp)
        route = route._replace(dialect=self._asked_by(route, request))
        try:
            return framing.reply(200, _catalog(route, request))
        except RefusedError as refused:
            return framing.reply(refused.status, route.dialect.refusal(refused))

    def _resolve(self, target: bytes) -> Route | None:
        """Find a target's route, and remember it: few targets are asked for again and again."""
        place, _, query = target.partition(b"?")
        name, _, path = place.removeprefix(b"/").partition(b"/")
        speakers = (dialect.at(path, query) for dialect in self._dialects)
        speaker = next((speaker for speaker in speakers if speaker is not None), None)
        lister = next((dialect for dialect in self._dialects if _below(dialect, path) is not None), None)
        found = speaker or lister
        channel = None if found is None else self.channels.open(name.decode("latin-1"))
        if found is None or channel is None:
            return None
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        return self._routes.setdefault(target, Route(channel, found, path, speaker is not None))

    def _asked_by(self, route: Route, request: Request) -> Dialect:
        """Dialects list their models at the same path: a header tells whose client asks."""
        names = {name.lower() for name, _ in request.headers}
        alike = (one for one in self._dialects if one.marker in names and _below(one, route.path) is not None)
        return route.dialect if route.completes else next(alike, route.dialect)

    def _elsewhere(self, request: Request) -> bytes:
        """What belongs to no channel: health, control, and paths that nobody knows."""
        if request.target == b"/healthz" and request.method == b"GET":
            return framing.json_reply(200, {"status": "ok"})
        if request.target.startswith(b"/control/"):
            try:
                answer = self._control.answer(request.method, request.target, request.body)
            except BadControlError as error:
                return framing.json_reply(error.status, {"error": error.message})
            return framing.text_reply(answer) if isinstance(answer, str) else framing.json_reply(200, answer)
        what = f"{request.method.decode('latin-1')} {request.target.decode('latin-1')}"
        return framing.reply(404, self._dialects[0].refusal(RefusedError(404, f"Invalid URL ({what})")))


def _catalog(route: Route, request: Request) -> bytes:
    route.dialect.authorize(request.headers)
    if request.method != b"GET" or route.completes:
        method = request.method.decode("latin-1")
        raise RefusedError(405, f"Not allowed to {method} on /{route.path.decode('latin-1')}.")
    below = _below(route.dialect, route.path) or b""
    return route.dialect.model(below.decode("latin-1")) if below else route.dialect.models()


def _below(dialect: Dialect, path: bytes) -> bytes | None:
    """The model that a path names: empty for the list, None where the path is none of the dialect's."""
    for models in dialect.models_paths:
        if path == models or path.startswith(models + b"/"):
            return path.removeprefix(models).removeprefix(b"/")
    return None
