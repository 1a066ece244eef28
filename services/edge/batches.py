"""`/v1/batches`: files of requests that are answered within a day, under the key's policies and its run's budget."""

import hashlib
import re
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb
from starlette.requests import Request

from schemas.batches import BATCH_ID, BATCH_PREFIX, BatchAccepted, BatchAcceptedData
from schemas.envelope import new_id, now
from services.edge.admission import parse_object
from services.edge.batch_bodies import ON_REFUSAL, REPEAT, BatchBody, BatchesQuery
from services.edge.batch_outbox import BatchOutbox
from services.edge.batch_view import described, may_cancel
from services.edge.bodies import BodyReader
from services.edge.caller import Caller
from services.edge.database import Database, Row
from services.edge.errors import ConflictError, InvalidRequestError, NotFoundError
from services.edge.files import Files
from services.edge.labels import Labels, joining, read_labels, refuse_repeated
from services.edge.memberships import Memberships
from services.edge.replies import Reply, json_reply
from services.edge.router_batches import RouterBatches
from services.edge.run_bodies import parse_body, parse_query

WINDOW = timedelta(hours=24)
_BATCH_ID = re.compile(BATCH_ID)


class Batches:
    """Answers for the key that asks: it sees its project's batches."""

    def __init__(
        self,
        database: Database,
        files: Files,
        router: RouterBatches,
        outbox: BatchOutbox,
        *,
        memberships: Memberships,
        bodies: BodyReader,
    ) -> None:
        self._database = database
        self._files = files
        self._router = router
        self._outbox = outbox
        self._memberships = memberships
        self._bodies = bodies

    async def created(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/batches`. The same idempotency key and body again: the batch that there is."""
        refuse_repeated(request.scope["headers"])
        headers = dict(request.scope["headers"])
        raw = await self._bodies.read(headers, request.receive)
        payload = parse_object(raw)
        body = parse_body(BatchBody, payload)
        labels = joining(read_labels(headers), payload)
        if labels.run_id is not None:
            caller = await self._memberships.join(caller, labels.run_id)
        await self._files.find(caller, body.input_file_id, param="input_file_id")
        row = _row(body, labels, caller, hashlib.sha256(raw + (labels.run_id or "").encode()).digest())
        inserted = await self._database.row("insert_batch", row)
        if inserted is None:
            return json_reply(await self._described(await self._same(row)))
        self._outbox.nudge()
        fresh = {**row, "event": row["event"].obj, "metadata": body.metadata, "cancel_asked_at": None}
        return json_reply(described(fresh, None))

    async def listed(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/batches?after=&limit=`: the newest first."""
        query = parse_query(BatchesQuery, request)
        asked = {"project_id": caller.key.project_id, "after": query.after, "limit": query.limit + 1}
        rows = await self._database.rows("list_batches", asked)
        progress = await self._router.progress([row["batch_id"] for row in rows[: query.limit]])
        data = [described(row, progress.get(row["batch_id"])) for row in rows[: query.limit]]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return json_reply({"object": "list", "data": data, "has_more": len(rows) > query.limit, **ends})

    async def shown(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/batches/{id}`."""
        return json_reply(await self._described(await self._find(request, caller)))

    async def cancelled(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/batches/{id}/cancel`: no more lines are begun; those that are under way end."""
        row = await self._find(request, caller)
        batch_id = row["batch_id"]
        progress = (await self._router.progress([batch_id])).get(batch_id)
        if not may_cancel(progress):
            assert progress is not None
            message = f"This batch is {progress.status}: there is nothing left to cancel."
            raise InvalidRequestError("batch_not_cancellable", message, param="batch_id")
        await self._router.cancel(batch_id)
        await self._database.row("cancel_batch", {"batch_id": batch_id})
        return json_reply(await self._described(await self._find(request, caller)))

    async def _find(self, request: Request, caller: Caller) -> Row:
        batch_id = request.path_params["batch_id"]
        row = None
        if _BATCH_ID.fullmatch(batch_id):
            row = await self._database.row("find_batch", {"batch_id": batch_id, "project_id": caller.key.project_id})
        if row is None:
            raise NotFoundError("batch_not_found", f"There is no batch {batch_id[:64]!r}.", param="batch_id")
        return row

    async def _same(self, row: Row) -> Row:
        """The batch of the same idempotency key. Raises :class:`ConflictError` for another body."""
        known = {"key_id": row["key_id"], "idempotency_key": row["idempotency_key"]}
        found = await self._database.row("batch_of_idempotency_key", known)
        if found is None or bytes(found["request_hash"]) != row["request_hash"]:
            raise ConflictError("idempotency_conflict", "This idempotency key belongs to another batch.")
        return found

    async def _described(self, row: Row) -> dict[str, Any]:
        return described(row, (await self._router.progress([row["batch_id"]])).get(row["batch_id"]))


def _row(body: BatchBody, labels: Labels, caller: Caller, request_hash: bytes) -> Row:
    at = now()
    event = BatchAccepted(
        occurred_at=at,
        account_id=caller.account_id,
        run_id=labels.run_id,
        environment=caller.environment,
        tags=labels.tags,
        traceparent=labels.traceparent,
        data=BatchAcceptedData(
            key=caller.key,
            batch_id=BATCH_PREFIX + new_id().hex,
            input_file_id=body.input_file_id,
            endpoint=body.endpoint,
            expires_at=at + WINDOW,
            repeat=body.metadata.get(REPEAT) == "true",
            on_refusal="stop" if body.metadata.get(ON_REFUSAL) == "stop" else "continue",
        ),
    )
    return {
        "batch_id": event.data.batch_id,
        "account_id": caller.account_id,
        "project_id": caller.key.project_id,
        "key_id": caller.key.key_id,
        "event": Jsonb(event.model_dump(mode="json")),
        "completion_window": body.completion_window,
        "metadata": Jsonb(body.metadata),
        "created_at": at,
        "idempotency_key": labels.idempotency_key,
        "request_hash": request_hash,
    }
