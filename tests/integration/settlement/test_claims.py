"""Claims on a real database: one worker makes a request's upstream calls."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from schemas.calls import ClaimResult, HoldClaim
from schemas.envelope import new_id
from services.settlement.claim_store import claim
from services.settlement.database import connect
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for


def _claim(ledger: Ledger, claimant: str, *holds: UUID) -> list[ClaimResult]:
    with connect(ledger.url, statement_timeout_ms=5000) as connection:
        return claim(connection, [HoldClaim(hold_id=hold, claimant=claimant) for hold in holds])


def test_the_first_claimant_keeps_the_request_and_may_ask_again(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    answers = [_claim(funded, claimant, request.hold_id)[0] for claimant in ("one/1", "two/1", "one/1")]
    assert [(each.state, each.claimant) for each in answers] == [("HELD", "one/1")] * 3


def test_a_request_is_claimed_once_whichever_of_its_holds_is_named(funded: Ledger) -> None:
    first = hold_for("a")
    second = hold_for("a", hold_id=new_id(), request_id=first.request_id)
    funded.held(first)
    funded.held(second)
    _claim(funded, "one/1", first.hold_id)
    assert _claim(funded, "two/1", second.hold_id)[0].claimant == "one/1"


def test_an_ended_hold_takes_no_claim_and_keeps_the_one_it_has(funded: Ledger) -> None:
    claimed, unclaimed = hold_for("a"), hold_for("a")
    funded.held(claimed)
    funded.held(unclaimed)
    _claim(funded, "one/1", claimed.hold_id)
    for request in (claimed, unclaimed):
        funded.complete(completion(request, attempts=[attempt_on(request)]))
    answers = _claim(funded, "two/1", claimed.hold_id, unclaimed.hold_id)
    assert [(each.state, each.claimant) for each in answers] == [("CAPTURED", "one/1"), ("CAPTURED", None)]


def test_a_hold_that_nobody_asked_for_and_a_refused_one_take_no_claim(funded: Ledger) -> None:
    refused = hold_for("nobody")
    funded.hold(refused)
    answers = _claim(funded, "one/1", new_id(), refused.hold_id)
    assert [(each.state, each.claimant) for each in answers] == [("UNKNOWN", None), ("REFUSED", None)]


def test_of_many_workers_at_once_exactly_one_claims_each_request(funded: Ledger) -> None:
    requests = [hold_for("a", max_output_tokens=10) for _ in range(40)]
    for request in requests:
        funded.held(request)
    ids = [request.hold_id for request in requests]

    def take(worker: int) -> list[str | None]:
        order = ids if worker % 2 else ids[::-1]
        found = {each.hold_id: each.claimant for each in _claim(funded, f"{worker}/1", *order)}
        return [found[each] for each in ids]

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(take, range(8)))
    assert all(answer == seen[0] for answer in seen)
    assert None not in seen[0]


def test_a_claim_is_never_changed(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    _claim(funded, "one/1", request.hold_id)
    with connect(funded.url, statement_timeout_ms=5000) as connection, pytest.raises(psycopg.Error):
        connection.execute("update request_claim set claimant = 'two/1'")
