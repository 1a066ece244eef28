"""A receipt and a run of an account, as settlement has them."""

from typing import Any

REQUEST = "0190b7f2-0000-7000-8000-000000000001"
RUN = "run_0190b7f2000070008000000000000001"


def receipt_of(account_id: str, request_id: str) -> dict[str, Any]:
    """The receipt of a request that is not settled yet."""
    empty: dict[str, Any] = {"plan": [], "attempts": [], "fallbacks": [], "holds": [], "charge": None, "explanation": []}
    return {"object": "receipt", "request_id": request_id, "status": "pending", "account_id": account_id, **empty}


def run_of(account_id: str, run_id: str) -> dict[str, Any]:
    """An open run."""
    at = "2026-03-14T09:26:53Z"
    who = {"account_id": account_id, "project_id": "prj_1", "key_id": "abcdefghijkl", "key_name": "bot"}
    rules: dict[str, Any] = {"models": None}
    budget = {"bucket": "credit", "currency": "USD", "budget": "5.00", "spent": "0.00", "held": "0.00", "left": "5.00"}
    said = {"object": "run", "id": run_id, "state": "open", "close_reason": None, "label": "research", "environment": "default"}
    return {**said, **who, "tags": {}, "reserve": True, "rules": rules, "opened_at": at, "deadline_at": at, "budgets": [budget]}
