"""The list of an account's requests: every state, every filter, page by page, and never another account's."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.calls import HoldRequest
from schemas.envelope import now
from schemas.requests import KeyRef
from services.settlement import request_pages
from services.settlement.request_models import RequestRow
from services.settlement.request_pages import RequestFilter
from services.settlement.statements import statements
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, candidate, completion, hold_for

OTHER = KeyRef(project_id="project-2", key_id="key-2", key_name="search")


def listed(ledger: Ledger, account: str = "a", *, limit: int = 100, looked_at: int = 10_000, **asked: Any) -> dict[str, Any]:
    """One page."""
    found = request_pages.page(ledger.connection, account, RequestFilter(**asked), limit=limit, looked_at=looked_at)
    for row in found["data"]:
        RequestRow.model_validate(row)
        assert row.keys() == RequestRow.model_fields.keys()
    return found


def ids(ledger: Ledger, **asked: Any) -> list[UUID]:
    """The ids of the one page that there is."""
    found = listed(ledger, **asked)
    assert found["next_after"] is None
    return [UUID(row["request_id"]) for row in found["data"]]


def settled(ledger: Ledger, **fields: Any) -> HoldRequest:
    """A request that is charged."""
    hold = hold_for("a", **fields)
    ledger.held(hold)
    ledger.complete(completion(hold))
    return hold


def failed(ledger: Ledger) -> HoldRequest:
    """A request whose only attempt fails."""
    hold = hold_for("a")
    ledger.held(hold)
    ledger.complete(completion(hold, attempts=[attempt_on(hold, outcome="failed", error_class="timeout")], charged=None))
    return hold


def test_every_state_of_a_request_is_in_the_list_newest_first(funded: Ledger) -> None:
    paid, lost = settled(funded), failed(funded)
    waiting = hold_for("a")
    funded.held(waiting)
    expired = hold_for("a", deadline_at=now() - timedelta(seconds=5))
    funded.held(expired)
    funded.expire(expired.hold_id)
    poor = hold_for("a", input_tokens_bound=9_000_000)
    assert funded.hold(poor)[0]["status"] == "refused"
    found = listed(funded)["data"]
    assert [(row["request_id"], row["state"], row["outcome"]) for row in found] == [
        (str(poor.request_id), "refused", None),
        (str(expired.request_id), "expired", None),
        (str(waiting.request_id), "pending", None),
        (str(lost.request_id), "released", "failed"),
        (str(paid.request_id), "settled", "succeeded"),
    ]
    for row in found:
        assert ids(funded, state=row["state"]) == [UUID(row["request_id"])]
    assert (found[0]["refusal"], found[3]["charge"]) == ("insufficient_balance", None)
    funded.assert_sound()


def test_a_row_says_what_the_receipt_says(funded: Ledger) -> None:
    hold = settled(funded)
    (row,) = listed(funded)["data"]
    receipt = funded.receipt("a", hold.request_id)
    assert {name: row["charge"][name] for name in ("bucket", "currency", "amount_nano", "amount", "refunded_nano")} == {
        name: receipt["charge"][name] for name in ("bucket", "currency", "amount_nano", "amount", "refunded_nano")
    }
    same = row.keys() & receipt.keys() - {"object", "charge", "attempts", "fallbacks", "refusal"}
    assert {name: row[name] for name in same} == {name: receipt[name] for name in same}
    assert {"key_name", "requested_model", "answered_model", "accepted_at", "settled_at", "latency_ms", "run_id"} <= same
    assert (row["attempts"], row["usage"]) == (1, receipt["charge"]["usage"])


def test_an_expired_request_shows_what_was_captured_and_a_refund_what_went_back(funded: Ledger) -> None:
    hold = settled(funded)
    charged = funded.receipt("a", hold.request_id)["charge"]["amount_nano"]
    funded.refund("a", hold.request_id, "0.0001")
    (row,) = listed(funded)["data"]
    assert (row["charge"]["amount_nano"], row["charge"]["refunded_nano"]) == (charged, 100_000)


def test_a_request_with_holds_in_two_buckets_is_one_row(funded: Ledger) -> None:
    poor = hold_for("a", input_tokens_bound=9_000_000)
    assert funded.hold(poor)[0]["status"] == "refused"
    second = hold_for("a", request_id=poor.request_id, candidates=[candidate("pooled", "deepseek-chat", "pool")])
    answer = funded.hold(second)[0]
    (row,) = listed(funded)["data"]
    assert (answer["status"], row["state"]) == ("held", "pending")
    assert ids(funded, state="refused") == []


def test_filters_are_met_all_at_once(funded: Ledger) -> None:
    mine, theirs = settled(funded), settled(funded, key=OTHER, candidates=[candidate(model="gpt-4o-mini")])
    tagged = settled(funded, tags={"requested_model": "gpt-4o-mini", "outcome": "failed"})
    everything = [tagged.request_id, theirs.request_id, mine.request_id]
    assert ids(funded) == everything
    assert ids(funded, project_id="project-2") == ids(funded, key_id="key-2") == [theirs.request_id]
    assert ids(funded, model="gpt-4o-mini") == [theirs.request_id]
    assert ids(funded, model="gpt-4o", key_id="key-1") == [tagged.request_id, mine.request_id]
    assert ids(funded, model="gpt-4o", key_id="key-2") == []
    assert ids(funded, outcome="succeeded", state="settled") == everything
    assert ids(funded, outcome="failed") == ids(funded, outcome="cancelled") == []
    assert ids(funded, since=now() + timedelta(seconds=1)) == ids(funded, until=now() - timedelta(hours=1)) == []
    assert ids(funded, since=now() - timedelta(hours=1), until=now() + timedelta(seconds=1)) == everything


def test_a_run_has_its_own_requests_and_an_unknown_one_none(funded: Ledger) -> None:
    run_id = funded.open_run("a", KEY, {"credit": "1"})
    outside, inside = settled(funded), settled(funded, run_id=run_id)
    assert ids(funded, run_id=run_id) == [inside.request_id]
    funded.close_run("a", run_id, KEY)
    assert ids(funded, run_id=run_id) == [inside.request_id]
    assert ids(funded, run_id="run_of_nobody") == []
    assert ids(funded) == [inside.request_id, outside.request_id]


def test_another_accounts_requests_are_never_there(funded: Ledger) -> None:
    run_id = funded.open_run("a", KEY, {"credit": "1"})
    settled(funded, run_id=run_id)
    assert listed(funded, "b")["data"] == listed(funded, "b", run_id=run_id)["data"] == []


@pytest.mark.parametrize("looked_at", [1, 2, 3, 100])
@pytest.mark.parametrize("key_id", [None, "key-2", "key-3"])
def test_pages_come_to_every_request_once_however_far_each_looks(funded: Ledger, looked_at: int, key_id: str | None) -> None:
    every = [settled(funded, key=key).request_id for key in (KEY, OTHER, KEY, KEY, KEY, OTHER, KEY)]
    expected = {None: every[::-1], "key-2": [every[5], every[1]], "key-3": []}[key_id]
    found: list[UUID] = []
    after = None
    while True:
        page = listed(funded, limit=2, looked_at=looked_at, key_id=key_id, after=after)
        found += [UUID(row["request_id"]) for row in page["data"]]
        if page["next_after"] is None:
            break
        assert after is None or UUID(page["next_after"]) < after
        after = UUID(page["next_after"])
    assert found == expected


def test_a_page_reads_the_index_of_the_account_and_not_the_table(ledger: Ledger) -> None:
    bounds = {"holder": "a", "least": UUID(int=0), "before": UUID(int=2**128 - 1), "looked_at": 10_000, "limit": 101}
    none = dict.fromkeys(("project", "key", "run", "model", "state", "outcome"))
    ledger.as_owner(
        "insert into hold (id, request_id, holder, project_id, key_id, bucket, currency, state, amount_nano, price_version,"
        " output_cap, input_tokens_bound, windows, placed_at, deadline_at, expires_at, detail)"
        " select gen_random_uuid(), gen_random_uuid(), case n % 10 when 0 then 'a' else 'b' end, 'p', 'k', 'credit', 'USD',"
        " 'HELD', 1, 1, 1, 1, '{}', now(), now(), now(), '{}' from generate_series(1, 20000) n"
    )
    ledger.as_owner("analyze hold")
    for name in ("floor", "requests"):
        plan = ledger.connection.execute(b"explain " + statements("requests.sql")[name].encode(), {**bounds, **none}).fetchall()
        text = "\n".join(line for (line,) in plan)
        assert "hold_of_holder" in text, text
        assert "Seq Scan on hold" not in text, text
