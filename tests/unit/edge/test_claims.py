"""What a bound idempotency key says to a second request."""

from uuid import UUID

import pytest

from services.edge.claims import conflict

HASH = b"h" * 32
FOUND = {"request_hash": HASH, "request_id": UUID(int=7), "state": "in_flight", "age_s": 1.0}


@pytest.mark.parametrize(
    ("change", "request_hash", "code"),
    [
        ({}, HASH, "in_progress"),
        ({"state": "done"}, HASH, "already_done"),
        ({"age_s": 901.0}, HASH, "already_done"),
        ({}, b"x" * 32, "idempotency_conflict"),
        ({"state": "done"}, b"x" * 32, "idempotency_conflict"),
    ],
)
def test_a_second_request_hears_why_it_conflicts(change: dict[str, object], request_hash: bytes, code: str) -> None:
    error = conflict(FOUND | change, request_hash, longest_request_s=900)
    assert (error.status, error.code) == (409, code)


@pytest.mark.parametrize(("state", "code"), [("done", "already_done"), ("in_flight", "in_progress")])
def test_the_same_request_hears_where_its_receipt_is(state: str, code: str) -> None:
    error = conflict(FOUND | {"state": state}, HASH, longest_request_s=900)
    assert (error.code, error.receipt) == (code, f"/v1/requests/{UUID(int=7)}")


def test_another_body_hears_nothing_of_the_first_requests_receipt() -> None:
    assert conflict(FOUND, b"x" * 32, longest_request_s=900).receipt is None
