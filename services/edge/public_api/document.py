"""The OpenAPI document of what clients may call, made of the table of operations. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.edge.public_api import replies
from services.edge.public_api.operations import OPERATIONS, Operation

Json = dict[str, Any]
SCHEMA_AT = "#/components/schemas/{model}"
BEARER, HEADER = "apiKey", "xApiKey"
PHRASES = {
    200: "Done.",
    201: "Made.",
    400: "Something in the request is wrong: `param` names it.",
    401: "No API key, or one that is unknown, expired or revoked.",
    402: "Only money or a decision lifts this: a balance, a limit or a run's budget is used up.",
    403: "The key may not do this, or it is frozen.",
    404: "There is nothing under this name, or nothing that this key may see.",
    408: "The body did not arrive in time.",
    409: "The idempotency key belongs to another request, or its request is under way; or the run is closed.",
    413: "The body is too large.",
    422: "A value does not fit.",
    429: "A clock lifts this: `retry-after` says when.",
    500: "The provider failed.",
    502: "The provider's answer could not be used.",
    503: "Not now: try again after `retry-after`.",
    504: "The provider did not answer in time.",
}
UNAUTHORIZED = (401, 403)
HEADERS = {
    "idempotency-key": "Asked again with the same key and body, the first reply is given once more.",
    "x-request-id": "The client's own name of the request, a label on its receipt.",
    "x-tollbook-run": "The run that pays.",
    "x-tollbook-tags": "Labels as `feature=search,customer=acme`.",
}


def openapi() -> Json:
    """The document, in OpenAPI 3.1."""
    models = _models()
    refs, definitions = models_json_schema(
        [(model, _mode(model)) for model in models], ref_template=SCHEMA_AT, title="Tollbook's own"
    )
    named = {model: refs[model, _mode(model)] for model in models}
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollbook",
            "version": "1",
            "description": "An AI token gateway whose bill explains itself. Operators' calls: each service's own document.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                BEARER: {"type": "http", "scheme": "bearer", "description": "An API key, `sk-tb-…`."},
                HEADER: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same, as Anthropic's clients send it.",
                },
            },
        },
    }


def _models() -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}
    for each in OPERATIONS:
        found |= dict.fromkeys([*each.replies.values(), each.error])
        if each.body is not None:
            found[each.body] = None
    return list(found)


def _mode(model: type[BaseModel]) -> Any:
    return "serialization" if model.__module__ == replies.__name__ else "validation"


def _operation(operation: Operation, named: Mapping[type[BaseModel], Json]) -> Json:
    error = {"application/json": {"schema": named[operation.error]}}
    statuses = (*operation.errors, *(() if operation.public else UNAUTHORIZED))
    answers: Json = {str(status): {"description": PHRASES[status], "content": error} for status in sorted({*statuses})}
    for status in operation.replies or (200,):
        answers[str(status)] = {"description": PHRASES[status], "content": _contents(operation, status, named)}
    described: Json = {"operationId": operation.id, "summary": operation.summary, "tags": [operation.tag], "responses": answers}
    described["security"] = [] if operation.public else [{BEARER: []}, {HEADER: []}]
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        content: Json = {"schema": named[operation.body]}
        if operation.example:
            content["example"] = operation.example
        described["requestBody"] = {"required": operation.body_required, "content": {operation.body_media: content}}
    return described


def _contents(operation: Operation, status: int, named: Mapping[type[BaseModel], Json]) -> Json:
    contents: Json = {media: {"schema": {"type": "string"}} for media in operation.media}
    if status in operation.replies:
        contents = {"application/json": {"schema": named[operation.replies[status]]}} | contents
    return contents


def _parameters(operation: Operation) -> list[Json]:
    text = {"type": "string", "minLength": 1, "maxLength": 128}
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    for name in operation.headers:
        schema = (
            {**text, "pattern": "^[!-~]+$"} if name != "x-tollbook-tags" else {"type": "string", "pattern": "^[a-z]+=[a-z]+$"}
        )
        found.append({"name": name, "in": "header", "required": False, "description": HEADERS[name], "schema": schema})
    if operation.query is not None:
        properties = operation.query.model_json_schema()["properties"]
        found += [
            {"name": name, "in": "query", "required": False, "schema": _bare(schema)} for name, schema in properties.items()
        ]
    return found


def _bare(schema: Json) -> Json:
    """A parameter is given or left out: null is not among its values."""
    options = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    bare = {name: value for name, value in schema.items() if name not in {"anyOf", "title"} and value is not None}
    return {**bare, **options[0]} if len(options) == 1 else {**bare, "anyOf": options} if options else bare
