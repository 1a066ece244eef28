"""Settlement asks edge which accounts there are before it takes money for one."""

from typing import Any

import pytest

from tests.integration.edge.processes import ADMIN, EdgeProcess

PATH = "/internal/accounts"
SETTLEMENT = {"authorization": "Bearer settlement-token-of-tests"}


def found(edge: EdgeProcess, *ids: str) -> list[str]:
    """Those of them that edge knows."""
    reply = edge.client.get(PATH, params={"id": list(ids)}, headers=SETTLEMENT).raise_for_status()
    return [each["account_id"] for each in reply.json()["data"]]


def made(edge: EdgeProcess) -> str:
    """A new account."""
    reply: dict[str, Any] = edge.client.post("/admin/accounts", json={"name": "acme"}, headers=ADMIN).raise_for_status().json()
    return str(reply["account_id"])


def test_what_was_made_is_there_at_once_and_frozen_too(edge: EdgeProcess) -> None:
    first, second = made(edge), made(edge)
    edge.client.post(f"/admin/accounts/{second}/freeze", json={"reason": "a test"}, headers=ADMIN).raise_for_status()
    assert found(edge, first, "acc_none", second) == [first, second]
    assert found(edge) == []


def test_a_name_that_none_can_have_is_not_there(edge: EdgeProcess) -> None:
    assert found(edge, "", "x" * 129, "a\x00b", "ä/ &?#") == []


def test_a_hundred_are_asked_for_at_once_and_no_more(edge: EdgeProcess) -> None:
    assert found(edge, *["acc_none"] * 100) == []
    reply = edge.client.get(PATH, params={"id": ["acc_none"] * 101}, headers=SETTLEMENT)
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "id")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer edge-token-of-tests", "Bearer router-token-of-tests", ADMIN["authorization"]]
)
def test_only_settlement_may_ask(edge: EdgeProcess, authorization: str) -> None:
    reply = edge.client.get(PATH, params={"id": "acc_1"}, headers={"authorization": authorization})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorized")
