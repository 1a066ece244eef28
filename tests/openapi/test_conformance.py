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
    "edge": ("edge_url", "/openapi.json"),
}
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
TIMEOUT_S = 3600


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_service_answers_as_its_document_says(described: dict[str, Any], tmp_path: Path, name: str) -> None:
    place, path = DOCUMENTS[name]
    token = described["demo"]["api_key"] if name == "edge" else described["admin_token"]
    examples = os.environ.get("TOLLBOOK_OPENAPI_EXAMPLES", "8")
    command = [
        Path(sys.executable).with_name("st"),
        "run",
        described[place] + path,
        "--header",
        f"Authorization: Bearer {token}",
    ]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", examples]
    command += ["--seed", os.environ.get("TOLLBOOK_OPENAPI_SEED", "1"), "--continue-on-failure", "--warnings", "off"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
    assert httpx.get(f"{described[place]}/readyz").status_code == 200
