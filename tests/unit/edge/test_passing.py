"""Which of router's headers reach the client."""

import pytest

from services.edge.passing import ErrorReply, ReplyHead, error_of


def test_a_replys_own_headers_pass_and_the_rest_stays_inside() -> None:
    head = ReplyHead.of(
        200,
        [
            (b"Content-Type", b"application/json"),
            (b"content-length", b"12"),
            (b"X-Tollbook-Channel", b"openai-main"),
            (b"x-ratelimit-remaining-requests", b"9"),
            (b"retry-after", b"3"),
            (b"x-should-retry", b"false"),
            (b"server", b"uvicorn"),
            (b"date", b"now"),
            (b"connection", b"close"),
            (b"transfer-encoding", b"chunked"),
            (b"set-cookie", b"a=b"),
        ],
    )
    assert {name for name, _ in head.headers} == {
        b"content-type",
        b"content-length",
        b"x-tollbook-channel",
        b"x-ratelimit-remaining-requests",
        b"retry-after",
        b"x-should-retry",
    }
    assert (head.status, head.rejected_code, head.streaming) == (200, None, False)


def test_the_mark_of_a_refusal_is_read_and_not_passed_on() -> None:
    head = ReplyHead.of(402, [(b"X-Tollbook-Rejected", b"insufficient_balance"), (b"x-tollbook-bucket", b"credit")])
    assert head.rejected_code == "insufficient_balance"
    assert head.headers == [(b"x-tollbook-bucket", b"credit")]


def test_a_stream_is_told_by_its_content_type() -> None:
    assert ReplyHead.of(200, [(b"content-type", b"text/event-stream; charset=utf-8")]).streaming


def test_the_code_and_message_of_an_error_are_read() -> None:
    named = b'{"error":{"message":"no","type":"t","param":null,"code":"model_not_found"}}'
    assert error_of(named) == ErrorReply("model_not_found", "no")
    assert error_of(b'{"error":{"message":"no","code":null}}') == ErrorReply("", "no")


def test_a_failure_that_tells_its_cost_was_charged() -> None:
    told = b'{"error":{"message":"no","code":"upstream_error","cost":"0.0025","currency":"USD"}}'
    assert error_of(told) == ErrorReply("upstream_error", "no", charged=True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{}}', b"null"])
def test_an_error_in_another_shape_has_neither(body: bytes) -> None:
    assert error_of(body) == ErrorReply()
