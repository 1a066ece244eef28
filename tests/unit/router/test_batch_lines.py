"""The lines of a batch's file: what is a request, and what is said of what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.router.batch import lines
from services.router.batch.lines import FileCheck, LineRefusedError, read_line

ENDPOINT = "/v1/chat/completions"
SECRET = "the-text-of-a-prompt"


def _line(**change: Any) -> bytes:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET}]}
    document = {"custom_id": "one", "method": "POST", "url": ENDPOINT, "body": body} | change
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode() + b"\n"


def _check(*raw: bytes) -> FileCheck:
    check = FileCheck(ENDPOINT)
    start = 0
    for each in raw:
        if not check.take(start, each):
            break
        start += len(each)
    check.end()
    return check


BAD: list[tuple[bytes, str, str | None]] = [
    (b"{" + SECRET.encode(), "invalid_json_line", None),
    (b'["a list"]\n', "invalid_json_line", None),
    (_line(custom_id=None), "invalid_custom_id", "custom_id"),
    (_line(custom_id=""), "invalid_custom_id", "custom_id"),
    (_line(custom_id=7), "invalid_custom_id", "custom_id"),
    (_line(custom_id="x" * 513), "invalid_custom_id", "custom_id"),
    (_line(method="GET"), "invalid_method", "method"),
    (_line(url="/v1/embeddings"), "mismatched_url", "url"),
    (_line(body=[]), "invalid_request", "body"),
    (_line(body={"messages": []}), "invalid_request", "body.model"),
    (_line(body={"model": "gpt-4o", "stream": True}), "invalid_request", "body.stream"),
]


@pytest.mark.parametrize(("raw", "code", "param"), BAD)
def test_a_line_that_is_no_request_names_what_is_wrong_and_quotes_nothing(raw: bytes, code: str, param: str | None) -> None:
    with pytest.raises(LineRefusedError) as refused:
        read_line(raw, ENDPOINT)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert SECRET not in str(refused.value)


def test_a_good_file_is_remembered_by_its_offsets_without_blank_lines() -> None:
    first, second = _line(), _line(custom_id="two")
    check = _check(first, b"\n", second)
    assert check.errors == []
    assert check.spans == [(0, len(first)), (len(first) + 1, len(second))]


def test_names_are_used_once_and_all_lines_ask_for_one_model() -> None:
    other = _line(custom_id="three", body={"model": "another", "messages": []})
    check = _check(_line(), _line(), other)
    assert [(each.code, each.line) for each in check.errors] == [("duplicate_custom_id", 2), ("mismatched_model", 3)]


def test_an_empty_file_is_an_error_of_its_own() -> None:
    assert [each.code for each in _check().errors] == ["empty_file"]
    assert [each.code for each in _check(b"\n", b"  \n").errors] == ["empty_file"]


def test_reading_ends_at_the_bounds_of_requests_and_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINES_MAX", 2)
    check = _check(*[_line(custom_id=str(number)) for number in range(5)])
    assert [(each.code, each.line) for each in check.errors] == [("too_many_requests", 3)]


def test_a_file_of_nothing_but_errors_is_not_read_to_its_end() -> None:
    assert len(_check(*[b"{\n"] * 500).errors) == lines.ERRORS_MAX
