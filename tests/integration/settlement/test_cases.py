"""A case is decided by somebody, once, and the topic tells of it."""

from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from schemas import topics
from schemas.envelope import now
from schemas.money import Usage
from services.settlement import case_store
from services.settlement.cases import Assignment, Closing
from services.settlement.errors import ConflictError, InvalidError, NotFoundError
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

CLOSING = Closing(resolution="the provider has no such call", author="ada", decision="charge_nothing")


@pytest.fixture
def case(funded: Ledger) -> UUID:
    """The case of a hold that expired."""
    hold = hold_for("a", deadline_at=now() - timedelta(minutes=5))
    funded.held(hold)
    assert funded.expire(hold.hold_id) == 1
    [row] = funded.rows('select id from "case"')
    found: UUID = row["id"]
    return found


def closed_events(ledger: Ledger) -> list[dict[str, object]]:
    return [orjson.loads(value) for topic, kind, value in ledger.outbox() if (topic, kind) == (topics.LEDGER, "CaseClosed")]


def listed(ledger: Ledger, **filters: object) -> list[UUID]:
    asked = {"open_only": None, "owner": None, "kind": None, "overdue": False, "limit": 10, **filters}
    return [row["id"] for row in case_store.cases(ledger.connection, **asked)]  # type: ignore[arg-type]


def test_a_case_is_assigned_then_closed_and_every_step_names_its_author(funded: Ledger, case: UUID) -> None:
    case_store.assign(funded.connection, case, Assignment(owner="grace", author="ada"))
    closed = case_store.close(funded.connection, case, CLOSING)
    assert (closed["owner"], closed["closed_by"], closed["decision"]) == ("grace", "ada", "charge_nothing")
    assert [(each["kind"], each["author"]) for each in closed["changes"]] == [("assigned", "ada"), ("closed", "ada")]
    [event] = closed_events(funded)
    assert event["data"] == {
        "case_id": str(case),
        "resolution": CLOSING.resolution,
        "author": "ada",
        "decision": "charge_nothing",
    }
    assert event["account_id"] == "a"
    funded.assert_sound()


def test_closing_again_in_the_same_words_changes_nothing_and_in_others_is_refused(funded: Ledger, case: UUID) -> None:
    first = case_store.close(funded.connection, case, CLOSING)
    assert case_store.close(funded.connection, case, CLOSING)["closed_at"] == first["closed_at"]
    for other in ({"resolution": "something else"}, {"author": "eve"}, {"decision": "write_off"}):
        with pytest.raises(ConflictError, match="closed by ada"):
            case_store.close(funded.connection, case, CLOSING.model_copy(update=other))
    with pytest.raises(ConflictError, match="closed by ada"):
        case_store.assign(funded.connection, case, Assignment(owner="grace", author="ada"))
    assert len(closed_events(funded)) == 1


def test_a_decision_is_for_expired_holds_only(funded: Ledger) -> None:
    hold = hold_for("a")
    funded.held(hold)
    funded.complete(completion(hold, attempts=[attempt_on(hold, usage=Usage(input_tokens=1, output_tokens=10**5))]))
    [row] = funded.rows("select id from \"case\" where kind = 'overrun'")
    with pytest.raises(InvalidError, match="expired_hold"):
        case_store.close(funded.connection, row["id"], CLOSING)
    case_store.close(funded.connection, row["id"], CLOSING.model_copy(update={"decision": None}))
    funded.assert_sound()


def test_usage_that_comes_after_the_decision_still_goes_to_write_off(funded: Ledger) -> None:
    hold = hold_for("a", deadline_at=now() - timedelta(minutes=5))
    funded.held(hold)
    funded.expire(hold.hold_id)
    [row] = funded.rows('select id from "case"')
    case_store.close(funded.connection, row["id"], CLOSING.model_copy(update={"decision": "write_off"}))
    before = funded.balance("a")
    funded.complete(completion(hold))
    assert funded.balance("a") == before
    assert funded.rows("select kind from txn where request_id = %s order by id", hold.request_id)[-1]["kind"] == "late_usage"
    funded.assert_sound()


def test_cases_are_found_by_state_owner_kind_and_age(funded: Ledger, case: UUID) -> None:
    assert listed(funded, open_only=True, owner="test", kind="expired_hold") == [case]
    assert listed(funded, overdue=True) == []
    funded.connection.execute("update \"case\" set due_at = now() - interval '1 second'")
    assert listed(funded, overdue=True) == [case]
    assert listed(funded, owner="grace") == listed(funded, kind="overrun") == listed(funded, open_only=False) == []
    case_store.close(funded.connection, case, CLOSING)
    assert listed(funded, overdue=True) == listed(funded, open_only=True) == []
    assert listed(funded, open_only=False) == [case]


def test_a_case_that_is_not_there_is_said_to_be_none(ledger: Ledger) -> None:
    unknown = uuid4()
    with pytest.raises(NotFoundError):
        case_store.read_case(ledger.connection, unknown)
    with pytest.raises(NotFoundError):
        case_store.close(ledger.connection, unknown, CLOSING)
