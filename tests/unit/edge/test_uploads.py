"""A form that cannot be read is a 400 that says why, whatever is wrong with it."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from services.edge.errors import InvalidRequestError
from services.edge.uploads import UploadReader

PART = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--b--\r\n'


def request(content_type: bytes, body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/v1/files", "query_string": b""}
    return Request(scope | {"headers": [(b"content-type", content_type)]}, receive)


async def read(content_type: bytes, body: bytes) -> bytes:
    async with UploadReader(limit_bytes=1000, timeout_s=5).read(request(content_type, body)) as upload:
        return b"".join([part async for part in upload.parts()])


async def test_a_form_gives_its_file() -> None:
    assert await read(b"multipart/form-data; boundary=b", PART) == b"{}"


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (b"multipart/form-data", PART, "invalid_form"),
        (b"multipart/form-data; boundary=", PART, "invalid_form"),
        (b"multipart/form-data; boundary=other", PART, "invalid_form"),
        (b"multipart/form-data; boundary=b", b"--b\r\nno header\r\n\r\n", "invalid_form"),
        (b"multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--", "invalid_form"),
        (b"multipart/form-data; boundary=" + b"b" * 300, PART, "invalid_form"),
        (b"multipart/form-data; boundary=b; charset=nonsense", b"", "missing_required_parameter"),
        (b"application/x-www-form-urlencoded", b"file=%", "missing_required_parameter"),
        (b"application/json", b"{}", "missing_required_parameter"),
    ],
)
async def test_a_form_that_cannot_be_read_is_a_mistake_of_the_client(content_type: bytes, body: bytes, code: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await read(content_type, body)
    assert refused.value.code == code
    assert refused.value.status == 400
