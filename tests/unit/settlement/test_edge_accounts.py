"""Edge says whether there is an account; what it does not say is no answer."""

import httpx
import pytest

from services.settlement.edge_accounts import EdgeAccounts
from services.settlement.errors import UnavailableError


def edge(answer: httpx.Response | Exception) -> tuple[EdgeAccounts, list[httpx.Request]]:
    """Edge that gives this answer, and what it was asked."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return EdgeAccounts("http://edge", "its-token", transport=httpx.MockTransport(handle)), asked


def test_it_is_asked_with_settlements_token_for_the_very_name() -> None:
    name = "a/ä &id=b"
    found, asked = edge(httpx.Response(200, json={"data": [{"account_id": name}]}))
    assert found.exists(name)
    assert (asked[0].url.path, asked[0].url.params.get_list("id")) == ("/internal/accounts", [name])
    assert asked[0].headers["authorization"] == "Bearer its-token"
    found.close()


def test_what_it_does_not_name_there_is_not() -> None:
    for data in ([], [{"account_id": "another"}]):
        assert not edge(httpx.Response(200, json={"data": data}))[0].exists("acc_1")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"error": {"code": "not_found"}}),
        httpx.Response(401),
        httpx.Response(503),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"accounts": []}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
)
def test_everything_else_is_no_answer_not_even_404_of_an_edge_that_does_not_know_the_call(
    answer: httpx.Response | Exception,
) -> None:
    with pytest.raises(UnavailableError, match="ask again under the same id") as unsure:
        edge(answer)[0].exists("acc_1")
    assert unsure.value.code == "account_unconfirmed"
