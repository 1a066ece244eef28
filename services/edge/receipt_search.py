"""Finds the receipt of a request: in the ledger, or among those that were refused before the ledger knew of them."""

from typing import Any

from services.edge.errors import NotFoundError
from services.edge.rejections import Rejections
from services.edge.settlement import Settlement


async def find_receipt(settlement: Settlement, rejections: Rejections, account_id: str, request_id: str) -> dict[str, Any]:
    """The receipt of one of the account's requests, refused ones included. Raises :class:`NotFoundError`."""
    try:
        return await settlement.receipt(account_id, request_id)
    except NotFoundError:
        refused = await rejections.find(account_id, request_id)
        if refused is None:
            raise
        return refused
