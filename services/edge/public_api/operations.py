"""Every call that clients may make, one entry each: what it takes, what it answers, how it refuses. Pure."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from services.edge.batch_bodies import BatchBody, BatchesQuery
from services.edge.files import FilesQuery
from services.edge.public_api import replies
from services.edge.public_api.requests import (
    ChatBody,
    EmbeddingsBody,
    MessagesBody,
    ReceiptQuery,
    ResponsesBody,
    StatementQuery,
    TopUpsQuery,
    UploadForm,
    UsageExplainQuery,
    UsageQuery,
)
from services.edge.run_bodies import EstimateBody, ExtensionBody, ListQuery, NothingBody, RunBody, TimelineQuery

ApiFailure = replies.Error
Method = Literal["get", "post", "delete"]
Model = type[BaseModel]
BAD = (400, 404, 408, 409, 413, 429, 503)
LOOKUP = (400, 404, 503)
CHANGE = (*BAD, 402, 422)
CALL = (*BAD, 402, 500, 502, 504)
"""Statuses of the providers themselves pass too: see `default` of these calls."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call. `replies` by status; a media type that is not JSON is named in `media`."""

    id: str
    method: Method
    path: str
    summary: str
    tag: str
    replies: dict[int, Model]
    errors: tuple[int, ...] = LOOKUP
    body: Model | None = None
    body_media: str = "application/json"
    body_required: bool = True
    query: Model | None = None
    headers: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    error: Model = ApiFailure
    public: bool = False
    example: dict[str, Any] = field(default_factory=dict)


ASKING = ("x-tollbook-run", "x-tollbook-tags", "x-request-id", "idempotency-key")
HELLO = [{"role": "user", "content": "What does a toll book record?"}]


def _asking(name: str, path: str, summary: str, body: Model, example: dict[str, Any], **more: Any) -> Operation:
    streams = () if name == "createEmbeddings" else ("text/event-stream",)
    return Operation(
        id=name,
        method="post",
        path=path,
        summary=summary,
        tag="Models",
        body=body,
        replies={200: replies.Answer},
        media=streams,
        errors=CALL,
        headers=ASKING,
        example={"model": "gpt-4o", **example},
        **more,
    )


MODELS = (
    _asking(
        "createChatCompletion", "/v1/chat/completions", "Ask a model, as OpenAI's clients do.", ChatBody, {"messages": HELLO}
    ),
    _asking(
        "createResponse",
        "/v1/responses",
        "Ask a model through the responses API.",
        ResponsesBody,
        {"input": "Who kept the toll?"},
    ),
    _asking(
        "createMessage",
        "/v1/messages",
        "Ask a model, as Anthropic's clients do.",
        MessagesBody,
        {"messages": HELLO, "max_tokens": 64},
        error=replies.MessagesError,
    ),
    _asking("createEmbeddings", "/v1/embeddings", "Embed texts.", EmbeddingsBody, {"input": "toll"}),
    Operation(
        id="listModels",
        method="get",
        path="/v1/models",
        summary="List what the key may ask for, with prices.",
        tag="Models",
        replies={200: replies.ListOf[replies.Model]},
    ),
    Operation(
        id="getModel",
        method="get",
        path="/v1/models/{model_id}",
        summary="Show one model.",
        tag="Models",
        replies={200: replies.Model},
    ),
)
MONEY = (
    Operation(
        id="getReceipt",
        method="get",
        path="/v1/requests/{request_id}",
        summary="Show the receipt of a request: as JSON, as text for people, or signed.",
        tag="Money",
        replies={200: replies.Receipt},
        media=("text/plain",),
        query=ReceiptQuery,
    ),
    Operation(
        id="listBalances",
        method="get",
        path="/v1/balances",
        summary="List the account's buckets and what is left in them.",
        tag="Money",
        replies={200: replies.Balances},
    ),
    Operation(
        id="listTopUps",
        method="get",
        path="/v1/topups",
        summary="List the account's payments, newest first.",
        tag="Money",
        replies={200: replies.Page[replies.TopUp]},
        query=TopUpsQuery,
        errors=(*LOOKUP, 422),
    ),
    Operation(
        id="getStatement",
        method="get",
        path="/v1/statements/{month}",
        summary="Get a month's statement (YYYY-MM) as JSON, CSV or PDF.",
        tag="Money",
        replies={200: replies.Reply},
        media=("text/csv", "application/pdf"),
        query=StatementQuery,
        errors=(*LOOKUP, 422),
    ),
    Operation(
        id="getUsage",
        method="get",
        path="/v1/usage",
        summary="Report the account's usage and its cost, by what you ask for, as JSON or CSV.",
        tag="Money",
        replies={200: replies.UsageReport},
        media=("text/csv",),
        query=UsageQuery,
    ),
    Operation(
        id="explainUsage",
        method="get",
        path="/v1/usage/explain",
        summary="Explain why the account's cost changed between two spans, by effects that add up to the change.",
        tag="Money",
        replies={200: replies.UsageExplanation},
        query=UsageExplainQuery,
    ),
    Operation(
        id="estimate",
        method="post",
        path="/v1/estimate",
        summary="Say beforehand what a job would cost, and whether it can be paid.",
        tag="Money",
        body=EstimateBody,
        replies={200: replies.Estimate},
        errors=(*CHANGE, 403),
        headers=("x-tollbook-run",),
        example={"items": [{"model": "gpt-4o", "input_tokens": 1500, "output_tokens": 400}]},
    ),
    Operation(
        id="listSigningKeys",
        method="get",
        path="/v1/signing-keys",
        summary="List the public keys that receipts are checked with.",
        tag="Money",
        replies={200: replies.SigningKeys},
        errors=(503,),
        public=True,
    ),
)
RUNS = (
    Operation(
        id="openRun",
        method="post",
        path="/v1/runs",
        summary="Set a budget aside for a task.",
        tag="Runs",
        body=RunBody,
        replies={200: replies.Run, 201: replies.Run},
        errors=(*CHANGE, 403),
        headers=("idempotency-key", "x-tollbook-tags"),
        example={"budget": {"credit": "0.50"}, "label": "research"},
    ),
    Operation(
        id="listRuns",
        method="get",
        path="/v1/runs",
        summary="List the account's runs, newest first.",
        tag="Runs",
        replies={200: replies.Page[replies.Run]},
        query=ListQuery,
        errors=(*LOOKUP, 422),
    ),
    Operation(
        id="getRun",
        method="get",
        path="/v1/runs/{run_id}",
        summary="Show the whole account of a run.",
        tag="Runs",
        replies={200: replies.Run},
        media=("text/plain",),
        query=TimelineQuery,
    ),
    Operation(
        id="extendRun",
        method="post",
        path="/v1/runs/{run_id}/extend",
        summary="Add to a run's budget, or move its deadline.",
        tag="Runs",
        body=ExtensionBody,
        replies={200: replies.Run},
        errors=(*CHANGE, 403),
        headers=("idempotency-key",),
        example={"budget": {"credit": "0.25"}},
    ),
    Operation(
        id="closeRun",
        method="post",
        path="/v1/runs/{run_id}/close",
        summary="Close a run; what is left goes back to the balance.",
        tag="Runs",
        body=NothingBody,
        body_required=False,
        replies={200: replies.Run},
        errors=(*CHANGE, 403),
    ),
)
BATCHES = (
    Operation(
        id="uploadFile",
        method="post",
        path="/v1/files",
        summary="Upload a file of requests for a batch.",
        tag="Batches",
        body=UploadForm,
        body_media="multipart/form-data",
        replies={200: replies.File},
        errors=BAD,
    ),
    Operation(
        id="listFiles",
        method="get",
        path="/v1/files",
        summary="List the project's files.",
        tag="Batches",
        replies={200: replies.ListOf[replies.File]},
        query=FilesQuery,
    ),
    Operation(
        id="getFile",
        method="get",
        path="/v1/files/{file_id}",
        summary="Show a file.",
        tag="Batches",
        replies={200: replies.File},
    ),
    Operation(
        id="deleteFile",
        method="delete",
        path="/v1/files/{file_id}",
        summary="Delete a file.",
        tag="Batches",
        replies={200: replies.DeletedFile},
    ),
    Operation(
        id="downloadFile",
        method="get",
        path="/v1/files/{file_id}/content",
        summary="Download a file.",
        tag="Batches",
        replies={},
        media=("application/octet-stream",),
    ),
    Operation(
        id="createBatch",
        method="post",
        path="/v1/batches",
        summary="Answer a file of requests within a day.",
        tag="Batches",
        body=BatchBody,
        replies={200: replies.Batch},
        errors=(*CHANGE, 403),
        headers=("idempotency-key", "x-tollbook-run"),
    ),
    Operation(
        id="listBatches",
        method="get",
        path="/v1/batches",
        summary="List the project's batches, newest first.",
        tag="Batches",
        replies={200: replies.ListOf[replies.Batch]},
        query=BatchesQuery,
    ),
    Operation(
        id="getBatch",
        method="get",
        path="/v1/batches/{batch_id}",
        summary="Show a batch.",
        tag="Batches",
        replies={200: replies.Batch},
    ),
    Operation(
        id="cancelBatch",
        method="post",
        path="/v1/batches/{batch_id}/cancel",
        summary="Leave the lines of a batch that were not begun.",
        tag="Batches",
        replies={200: replies.Batch},
        errors=(*LOOKUP, 409),
    ),
)
PROBES = (
    Operation(
        id="healthz",
        method="get",
        path="/healthz",
        summary="Whether the process runs.",
        tag="Probes",
        replies={200: replies.Health},
        errors=(),
        public=True,
    ),
    Operation(
        id="readyz",
        method="get",
        path="/readyz",
        summary="Whether the process can do its work.",
        tag="Probes",
        replies={200: replies.Readiness, 503: replies.Readiness},
        errors=(),
        public=True,
    ),
)
OPERATIONS = (*MODELS, *MONEY, *RUNS, *BATCHES, *PROBES)
