"""`tollbook channels|catalog` on the running stack: one row of the route table at a time, and channels out of use at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.e2e.commands import Commands

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def tollbook(running: Stack, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


def test_a_channel_is_frozen_and_used_again_and_says_by_whom_and_why(tollbook: Commands) -> None:
    listed = tollbook("channels", "list", "--json").json["data"]
    assert "pool-b" in {row["id"] for row in listed}
    assert tollbook("channels", "freeze", "pool-b", "--reason", "a test freezes it", "--json").json["frozen"] is True
    try:
        assert "a test freezes it" in tollbook("channels", "list").text
        assert "by tester" in tollbook("channels", "show", "pool-b").text
    finally:
        assert "in use again" in tollbook("channels", "unfreeze", "pool-b").text
    assert tollbook("channels", "show", "pool-b", "--json").json["channel"]["id"] == "pool-b"
    log = tollbook("audit-log", "--kind", "channel", "--id", "pool-b", "--json").json["data"]
    assert [(row["service"], row["action"]) for row in log[:2]] == [
        ("router", "channel.unfreeze"),
        ("router", "channel.freeze"),
    ]
    unknown = tollbook("channels", "freeze", "no-such-channel")
    assert (unknown.code, "no channel" in unknown.err) == (3, True)


def test_one_model_is_put_shown_and_taken_out_beside_all_others(tollbook: Commands, tmp_path: Path) -> None:
    before = tollbook("catalog", "show", "gpt-4o", "--json").json
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**before["model"], "id": "gpt-4o-copy"}))
    put = tollbook("catalog", "put", str(file), "--json").json
    try:
        assert put["version"] > before["table_version"]
        assert "gpt-4o-copy" in tollbook("catalog", "list").text
        assert "openai-main" in tollbook("catalog", "show", "gpt-4o-copy").text
        late = tollbook("catalog", "put", str(file), "--expected-version", str(before["table_version"]))
        assert (late.code, "look at the difference once more" in late.err) == (3, True)
        assert tollbook("catalog", "remove", "gpt-4o-copy").code == 3
    finally:
        assert "no longer in the table" in tollbook("catalog", "remove", "gpt-4o-copy", "--yes").text
    assert "gpt-4o-copy" not in {row["model"]["id"] for row in tollbook("catalog", "list", "--json").json["data"]}


def test_one_channel_is_put_and_taken_out_and_a_wrong_one_is_refused(tollbook: Commands, tmp_path: Path) -> None:
    row = tollbook("channels", "show", "openai-main", "--json").json["channel"]
    file = tmp_path / "channel.yaml"
    file.write_text(json.dumps({**row, "id": "spare", "keys": [{"secret_env": "A_SPARE_KEY"}]}))
    put = tollbook("channels", "put", str(file))
    assert ("spare is in force" in put.text, "A_SPARE_KEY" in put.text) == (True, True), put.err
    assert tollbook("channels", "remove", "spare").code == 3
    assert tollbook("channels", "remove", "spare", "--yes", "--json").json["version"] > 0
    kept = tollbook("channels", "remove", "openai-main", "--yes")
    assert (kept.code, "candidate of" in kept.err) == (3, True)
    file.write_text(json.dumps({**row, "id": "spare", "dialect": "esperanto"}))
    wrong = tollbook("channels", "put", str(file))
    assert (wrong.code, "dialect" in wrong.err) == (3, True)
    file.write_text("- 1")
    assert tollbook("channels", "put", str(file)).code == 3
