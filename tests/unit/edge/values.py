"""Values that several tests of the edge start from."""

from typing import Any

from services.edge.caller import Caller, KeyRow


def key_row(**changes: Any) -> KeyRow:
    """A good key's row."""
    fields: dict[str, Any] = {
        "key_id": "Q7mZk2XvB9tL",
        "name": "checkout-bot",
        "environment": "production",
        "policy": None,
        "project_id": "prj_1",
        "account_id": "acc_1",
        "secret_hmac": b"",
        "pepper_version": 1,
        "revoked": False,
        "frozen": None,
    }
    return KeyRow(**fields | changes)


def caller(**changes: Any) -> Caller:
    """A good key's caller."""
    return Caller.of(key_row(**changes))
