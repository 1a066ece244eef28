"""What a command says when a service cannot or will not answer."""

import httpx
import pytest

from services.console.addresses import Address
from services.console.errors import RefusedError, UnreachableError
from services.console.service_client import ServiceClient


def client(answer: httpx.Response | Exception) -> ServiceClient:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer t"
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ServiceClient("settlement", Address(url="http://s", token="t"), transport=httpx.MockTransport(handle))


def test_a_refusal_carries_the_services_own_message_and_code() -> None:
    body = {"error": {"message": "no such case", "type": "invalid_request_error", "param": None, "code": "case_not_found"}}
    with pytest.raises(RefusedError, match="settlement answered 404 to GET /x: no such case") as caught:
        client(httpx.Response(404, json=body)).get("/x")
    assert (caught.value.status, caught.value.code) == (404, "case_not_found")


def test_a_wrong_token_is_said_with_what_to_do() -> None:
    with pytest.raises(RefusedError, match="--admin-token"):
        client(httpx.Response(401, json={"error": {"message": "m", "code": "unauthorized"}})).get("/x")


@pytest.mark.parametrize(
    "answer", [httpx.Response(502, text="<html>"), httpx.Response(500, json=[1]), httpx.Response(500, json={"error": "x"})]
)
def test_an_error_of_any_shape_is_a_refusal(answer: httpx.Response) -> None:
    with pytest.raises(RefusedError, match=str(answer.status_code)):
        client(answer).get("/x")


@pytest.mark.parametrize("answer", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.Response(200, text="<html>")])
def test_silence_and_strangers_are_said_as_such(answer: httpx.Response | Exception) -> None:
    with pytest.raises(UnreachableError, match="settlement"):
        client(answer).get("/x")
