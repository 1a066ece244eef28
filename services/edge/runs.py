"""`/v1/runs`: a budget for a task, opened, looked at, extended and closed by the key that spends it."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from schemas.envelope import now
from schemas.runs import DEFAULT_RUN, RunClosing, RunExtension, RunOpening
from services.edge.admission import parse_object
from services.edge.bodies import BodyReader
from services.edge.caller import Caller
from services.edge.deadlines import parse_deadline
from services.edge.labels import Labels, read_labels, refuse_repeated
from services.edge.lookups import wants_text
from services.edge.memberships import Memberships, known_form
from services.edge.replies import TEXT_TYPE, Reply, json_reply
from services.edge.run_bodies import (
    ExtensionBody,
    ListQuery,
    NothingBody,
    RunBody,
    TimelineQuery,
    parse_body,
    parse_query,
)
from services.edge.run_text import render_run
from services.edge.settlement import Settlement


class Runs:
    """Answers for the key that asks: it sees its account's runs and changes its own."""

    def __init__(self, settlement: Settlement, memberships: Memberships, bodies: BodyReader) -> None:
        self._settlement = settlement
        self._memberships = memberships
        self._bodies = bodies

    async def opened(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/runs`: 201, or 200 for a run that this idempotency key has opened before."""
        labels = read_labels(_headers(request))
        body = parse_body(RunBody, await self._payload(request))
        rules = body.rules()
        caller.require_rules(rules)
        opening = RunOpening(
            key=caller.key,
            environment=caller.environment,
            tags=_tags(body, labels),
            label=body.label,
            budget=body.budget,
            rules=rules,
            reserve=body.reserve,
            deadline_at=now() + DEFAULT_RUN if body.deadline is None else parse_deadline(body.deadline, now()),
            idempotency_key=labels.idempotency_key,
        )
        status, run = await self._settlement.ask(caller.account_id, "runs", body=opening)
        return json_reply(run, status)

    async def listed(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/runs`: the account's runs, the newest first."""
        query = parse_query(ListQuery, request)
        asked = {name: str(value) for name, value in query.model_dump(exclude_none=True).items()}
        page = await self._settlement.read(caller.account_id, "runs", query=asked)
        return json_reply({"object": "list", **page})

    async def shown(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/runs/{id}`: its whole account, as JSON or as text for people."""
        query = parse_query(TimelineQuery, request)
        run_id = known_form(request.path_params["run_id"])
        asked = {"after": str(query.after), "limit": str(query.limit)}
        run = await self._settlement.read(caller.account_id, "runs", run_id, query=asked)
        return Reply(200, render_run(run).encode(), [TEXT_TYPE]) if wants_text(request) else json_reply(run)

    async def extended(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/runs/{id}/extend`."""
        labels = read_labels(_headers(request))
        body = parse_body(ExtensionBody, await self._payload(request))
        extension = RunExtension(
            key=caller.key,
            budget=body.budget,
            deadline_at=None if body.deadline is None else parse_deadline(body.deadline, now()),
            idempotency_key=labels.idempotency_key,
        )
        return await self._change(request, caller, "extend", extension)

    async def closed(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/runs/{id}/close`."""
        parse_body(NothingBody, await self._payload(request, may_be_empty=True))
        return await self._change(request, caller, "close", RunClosing(key=caller.key))

    async def _change(self, request: Request, caller: Caller, verb: str, body: RunExtension | RunClosing) -> Reply:
        run_id = request.path_params["run_id"]
        await self._memberships.require(caller, run_id)
        status, run = await self._settlement.ask(caller.account_id, "runs", run_id, verb, body=body)
        return json_reply(run, status)

    async def _payload(self, request: Request, *, may_be_empty: bool = False) -> Mapping[str, Any]:
        body = await self._bodies.read(_headers(request), request.receive)
        return {} if may_be_empty and not body else parse_object(body)


def _headers(request: Request) -> dict[bytes, bytes]:
    refuse_repeated(request.scope["headers"])
    return dict(request.scope["headers"])


def _tags(body: RunBody, labels: Labels) -> dict[str, str]:
    """Those of the body, else those of the header."""
    given = body.metadata if body.tags is None else body.tags
    return labels.tags if given is None else given
