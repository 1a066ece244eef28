"""Whatever is sent to a service, it answers as its OpenAPI document says, and never with a failure of its own.

`make prove-openapi EXAMPLES=200` tries more; TOLLBOOK_OPENAPI_EXAMPLES says how many per operation.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.stack

DOCUMENTS = {
    "client": ("edge_url", "/openapi.json"),
    "edge": ("edge_url", "/admin/openapi.json"),
    "router": ("router_url", "/admin/openapi.json"),
    "settlement": ("settlement_url", "/admin/openapi.json"),
    "analytics": ("analytics_url", "/admin/openapi.json"),
}
LEFT_OUT = ("watch_requests", "post_routes_admin_routes_post", "post_diff_admin_routes_diff_post")
"""A stream that goes on until its reader leaves; and whole route tables, a megabyte each, which have tests of their own."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "ignored_auth",
)
SLASHES = {"router": {"unsupported_method", "allow_header_conformance"}}
"""A channel's id may hold slashes: what is no call on `x/freeze` may be one on the channel of that name."""
TIMEOUT_S = 3600


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_service_answers_as_its_document_says(described: dict[str, Any], tmp_path: Path, name: str) -> None:
    place, path = DOCUMENTS[name]
    token = described["demo"]["api_key"] if name == "client" else described["admin_token"]
    examples = os.environ.get("TOLLBOOK_OPENAPI_EXAMPLES", "8")
    checks = [check for check in CHECKS if check not in SLASHES.get(name, ())]
    command: list[str | Path] = [Path(sys.executable).with_name("st"), "run", described[place] + path]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", ",".join(checks), "--request-timeout", "60"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", examples]
    command += [f"--exclude-operation-id={operation}" for operation in LEFT_OUT]
    command += ["--seed", os.environ.get("TOLLBOOK_OPENAPI_SEED", "1"), "--continue-on-failure", "--warnings", "off"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
    assert httpx.get(f"{described[place]}/readyz").status_code == 200
