"""Receipts and runs of an account with an access token: no API key is needed, and nobody else's is ever seen."""

import pytest

from tests.integration.edge.account_facts import REQUEST, RUN, receipt_of, run_of
from tests.integration.edge.peers import Peers
from tests.integration.edge.people import new_account, person_with
from tests.integration.edge.processes import ADMIN, EdgeProcess


@pytest.fixture(scope="module")
def account(edge: EdgeProcess, peers: Peers) -> str:
    """An account with one receipt and one run."""
    made = new_account(edge)
    peers.receipts[made, REQUEST] = receipt_of(made, REQUEST)
    peers.runs.runs[made, RUN] = run_of(made, RUN)
    return made


def test_a_member_reads_a_receipt_as_json_and_as_text(edge: EdgeProcess, account: str) -> None:
    member = person_with(edge, "member", account)
    path = f"/accounts/{account}/receipts/{REQUEST}"
    assert member.get(path).json()["request_id"] == REQUEST
    text = member.get(f"{path}?format=text")
    assert (text.headers["content-type"], REQUEST in text.text) == ("text/plain; charset=utf-8", True)
    assert member.get(f"{path}?format=pdf").status_code == 422
    missing = member.get(f"/accounts/{account}/receipts/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "receipt_not_found")


def test_runs_are_listed_with_the_callers_filters_and_shown_whole(edge: EdgeProcess, peers: Peers, account: str) -> None:
    billing = person_with(edge, "billing", account)
    page = billing.get(f"/accounts/{account}/runs?state=open&key_id=abcdefghijkl&limit=7").json()
    assert (page["object"], [row["id"] for row in page["data"]], page["next_after"]) == ("list", [RUN], None)
    assert peers.runs.queries[-1] == {"state": "open", "key_id": "abcdefghijkl", "limit": "7"}
    assert billing.get(f"/accounts/{account}/runs/{RUN}").json()["totals"]["requests"] == 0
    assert RUN in billing.get(f"/accounts/{account}/runs/{RUN}?format=text").text
    for wrong in ("runs?state=lost", "runs?limit=0"):
        assert billing.get(f"/accounts/{account}/{wrong}").status_code == 422
    for unknown in (f"{RUN}0", "not-the-form-of-one"):
        reply = billing.get(f"/accounts/{account}/runs/{unknown}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "run_not_found")


def test_another_accounts_are_answered_like_those_of_none(edge: EdgeProcess, account: str) -> None:
    stranger = person_with(edge, "owner", new_account(edge))
    for what in (f"receipts/{REQUEST}", "runs", f"runs/{RUN}"):
        theirs, nobodys = (stranger.get(f"/accounts/{asked}/{what}") for asked in (account, "none"))
        assert theirs.status_code == 404
        assert theirs.text.replace(account, "none") == nobodys.text


def test_the_admin_token_reads_every_accounts(edge: EdgeProcess, account: str) -> None:
    for what in (f"receipts/{REQUEST}", "runs", f"runs/{RUN}"):
        assert edge.client.get(f"/admin/accounts/{account}/{what}", headers=ADMIN).status_code == 200
