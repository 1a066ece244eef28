"""Looking up refused requests at analytics."""

import httpx
import pytest

from services.edge.errors import PeerUnavailableError
from services.edge.rejections import AnalyticsRejections


def nothing_there(_: httpx.Request) -> httpx.Response:
    return httpx.Response(404)


async def found(account_id: str, request_id: str) -> object:
    """What is found where analytics has no such call."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(nothing_there), base_url="http://analytics") as http:
        return await AnalyticsRejections(http).find(account_id, request_id)


@pytest.mark.parametrize(("account_id", "request_id"), [("acc_1", ".."), ("acc_1", "."), ("..", "r1")])
async def test_a_name_of_dots_is_nobodys_and_leads_to_no_other_call(account_id: str, request_id: str) -> None:
    assert await found(account_id, request_id) is None


async def test_an_analytics_without_the_call_is_away_and_knows_nothing_of_the_request() -> None:
    with pytest.raises(PeerUnavailableError):
        await found("acc_1", "r1")
