"""`/admin/alert-rules`: the rules in force, those of before, what a file would change, and putting one in force."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from schemas.alert_rules import AlertRules
from services.analytics.admin_api import json_response
from services.analytics.admin_calls import operation
from services.analytics.audit import who
from services.analytics.database import Row
from services.analytics.errors import QueryRefusedError, RulesRefusedError
from services.analytics.http_errors import ErrorReply
from services.analytics.signals.rule_diff import changes, document
from services.analytics.signals.rule_file import parse_rules
from services.analytics.signals.rule_models import RulesApplied, RulesDiff, RulesInForce, RulesVersions
from services.analytics.signals.rule_store import RuleStore, parsed

FILE_BYTES_MAX = 512 * 1024
Version = Annotated[int, Query(ge=0, le=2**62)]
AFTER = Query(pattern=r"^[0-9]{1,18}$", description="The next_after of the page before.")
TAKES_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string"}} for kind in ("application/yaml", "application/json")},
    }
}


async def rules_in(request: Request) -> tuple[str, AlertRules]:
    """The text of a call and the rules in it, read in a thread. Raises RulesRefusedError."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > FILE_BYTES_MAX:
            raise RulesRefusedError(f"a rule file has {FILE_BYTES_MAX // 1024} kB at most", "body", [])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise RulesRefusedError("a rule file is text in UTF-8", "body", []) from None
    if "\0" in text:
        raise RulesRefusedError("a rule file has no NUL in it", "body", [])
    return text, await asyncio.to_thread(parse_rules, text)


def _shown(row: Row) -> dict[str, Any]:
    return {**row, "rules": document(parsed(row))}


def taking(words: dict[str, Any], *codes: int) -> dict[str, Any]:
    """The words of an operation that takes a file."""
    return {
        **words,
        "openapi_extra": words["openapi_extra"] | TAKES_FILE,
        "responses": words["responses"] | {code: {"model": ErrorReply} for code in codes},
    }


def router(store: RuleStore) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/admin/alert-rules")

    @routes.get("", response_model=RulesInForce, **operation("rule.read", "Show the alert rules in force"))
    async def show_alert_rules() -> Response:
        """`file` as it was applied, `rules` with every default filled in."""
        return json_response(_shown(await store.in_force()))

    @routes.put(
        "",
        response_model=RulesApplied,
        **taking(operation("rule.write", "Put alert rules in force"), 409, 422),
    )
    async def apply_alert_rules(
        request: Request,
        expected_version: Annotated[Version | None, Query(description="Only in place of this version.")] = None,
        author: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    ) -> Response:
        """The body is the file (YAML or JSON); it replaces the one before it within a second. The same changes nothing."""
        text, rules = await rules_in(request)
        applied = await store.apply(text, rules, expected_version, who(request, author))
        row = {name: value for name, value in applied.row.items() if name != "file"}
        return json_response({**row, "new": applied.new})

    @routes.post(
        "/diff",
        response_model=RulesDiff,
        **taking(operation("rule.read", "Show what a rule file would change"), 422),
    )
    async def compare_alert_rules(request: Request) -> Response:
        """Checks the file as applying it would, and changes nothing."""
        _, rules = await rules_in(request)
        row = await store.in_force()
        return json_response({"version": row["version"], "changes": [each._asdict() for each in changes(parsed(row), rules)]})

    @routes.get("/versions", response_model=RulesVersions, **operation("rule.read", "List the versions of the alert rules"))
    async def list_alert_rules(
        after: Annotated[str | None, AFTER] = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> Response:
        """The last first, without their files."""
        rows = await store.versions(None if after is None else int(after), limit + 1)
        page = rows[:limit]
        following = str(page[-1]["version"]) if len(rows) > limit else None
        return json_response({"object": "list", "data": page, "next_after": following})

    @routes.get(
        "/versions/{version}",
        response_model=RulesInForce,
        **_taking_none(operation("rule.read", "Show one version of the alert rules")),
    )
    async def show_alert_rules_version(version: int) -> Response:
        """As it was applied."""
        if not 0 < version < 2**62:
            raise QueryRefusedError("version", "versions count from 1")
        return json_response(_shown(await store.of_version(version)))

    return routes


def _taking_none(words: dict[str, Any]) -> dict[str, Any]:
    return {**words, "responses": words["responses"] | {404: {"model": ErrorReply}}}
