"""What a command says when a service cannot or will not answer."""

import httpx
import pytest

from services.console.addresses import Address
from services.console.errors import BadTokenError, RefusedError, UnreachableError
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
    with pytest.raises(RefusedError, match=r"^no such case$") as caught:
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


def test_what_the_services_sentence_says_itself_is_not_said_again() -> None:
    body = {"error": {"message": "Too many requests. Try again in 103 s.", "code": "rate_limit_exceeded"}}
    with pytest.raises(RefusedError, match=r"^Too many requests\. Try again in 103 s\.$"):
        client(httpx.Response(429, json=body)).get("/x")
    with pytest.raises(RefusedError, match=r"^Too many requests: wait a moment and try again$"):
        client(httpx.Response(429, json={"error": {"message": "Too many requests."}})).get("/x")


@pytest.mark.parametrize("token", ["tbu-é", "tbu-a\nb", "tbu a", "", "tbu-\x9b"])
def test_a_token_with_characters_that_none_has_is_refused_with_words(token: str) -> None:
    with pytest.raises(BadTokenError, match="characters that no token has"):
        ServiceClient("edge", Address(url="http://s", token=token))


@pytest.mark.parametrize("url", ["http://u:SECRET@127.0.0.1:1", "http://u:SECRET@127.0.0.1:none", "http://u:SEC/RET@h"])
def test_a_password_in_a_url_is_in_no_message(url: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with pytest.raises(UnreachableError) as caught:
        ServiceClient("edge", Address(url=url, token="t"), transport=httpx.MockTransport(refuse)).get("/x")
    assert "SEC" not in str(caught.value)
    assert "***@" in str(caught.value)


def test_what_was_asked_with_a_key_that_nobody_gave_says_so_where_nothing_is_found() -> None:
    answer = httpx.Response(404, json={"error": {"message": "no such request.", "code": "not_found"}})
    asked = ServiceClient(
        "edge", Address(url="http://s", token="t"), httpx.MockTransport(lambda _: answer), asked_with="the demo's key"
    )
    with pytest.raises(RefusedError, match=r"^no such request \(asked with the demo's key\)$"):
        asked.get("/v1/requests/r")
