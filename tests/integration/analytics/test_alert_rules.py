"""The alert rules' calls: versions, what a file would change, who did it, and mistakes with their lines."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.analytics.process import ADMIN_TOKEN, Analytics, running

SHIPPED = Path("deploy/catalog/alerts.yaml").read_text("utf-8")
OTHER = SHIPPED.replace("floor: 60000", "floor: 70000")
PATH = "/admin/alert-rules"


@pytest.fixture
def client(analytics: Analytics) -> Any:
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    with running(analytics), httpx.Client(base_url=analytics.url, headers=headers, timeout=30) as found:
        analytics.wait_until_ready()
        yield found


def test_rules_are_versions_of_which_the_last_is_in_force_and_each_change_is_audited(client: httpx.Client) -> None:
    assert client.get(PATH).json()["version"] == 0
    first = client.put(PATH, content=SHIPPED, params={"author": "ann", "expected_version": 0})
    assert (first.status_code, first.json()["version"], first.json()["new"]) == (200, 1, True)
    again = client.put(PATH, content=SHIPPED, params={"expected_version": 0}).json()
    assert (again["version"], again["new"], again["author"]) == (1, False, "ann")
    changed = client.post(f"{PATH}/diff", content=OTHER).json()
    floor = {"floor": {"before": 60000, "after": 70000}}
    assert changed == {"version": 1, "changes": [{"change": "changed", "kind": "rule", "id": "runaway-key", "fields": floor}]}
    moved = client.put(PATH, content=OTHER, params={"expected_version": 0})
    assert (moved.status_code, moved.json()["error"]["code"]) == (409, "alert_rules_moved")
    assert client.put(PATH, content=OTHER, params={"expected_version": 1}).json()["version"] == 2
    assert client.get(PATH).json()["file"] == OTHER
    assert client.get(f"{PATH}/versions/1").json()["file"] == SHIPPED
    assert client.get(f"{PATH}/versions/3").status_code == 404
    page = client.get(f"{PATH}/versions", params={"limit": 1}).json()
    assert ([row["version"] for row in page["data"]], page["next_after"]) == ([2], "2")
    rest = client.get(f"{PATH}/versions", params={"limit": 1, "after": "2"}).json()
    assert ([row["version"] for row in rest["data"]], rest["next_after"]) == ([1], None)
    log = client.get("/admin/audit-log", params={"entity_kind": "alert_rules"}).json()["data"]
    assert [(entry["action"], entry["entity_id"]) for entry in log] == [("alert_rules.apply", "2"), ("alert_rules.apply", "1")]
    assert log[0]["after"]["changes"][0]["fields"] == floor


MISTAKES = (
    (b"rules:\n  - {id: x, signal: mix_change, floor: 2}", "line 2, column 40"),
    (b"\xff", "UTF-8"),
    (b"a\0b", "NUL"),
    (b"#" * 600_000, "kB at most"),
)


def test_a_file_with_mistakes_is_refused_with_their_places_and_nothing_changes(client: httpx.Client) -> None:
    for content, words in MISTAKES:
        for reply in (client.put(PATH, content=content), client.post(f"{PATH}/diff", content=content)):
            error = reply.json()["error"]
            assert (reply.status_code, error["code"]) == (422, "invalid_alert_rules")
            assert words in error["message"]
    assert client.get(PATH).json()["version"] == 0
