"""Which ids of providers may be written down."""

import pytest

from services.router.upstream_ids import header_id, printable_id


@pytest.mark.parametrize("value", ["chatcmpl-1", "req_" + "a" * 124, "msg 01"])
def test_a_short_visible_text_is_an_id(value: str) -> None:
    assert printable_id(value) == value


@pytest.mark.parametrize("value", ["", "a" * 129, "line\nbreak", "nul\x00", "ümlaut", 7, None, {"id": "x"}, ["x"]])
def test_nothing_else_is_one(value: object) -> None:
    assert printable_id(value) is None


def test_the_reply_is_named_by_its_first_header_that_holds_an_id() -> None:
    assert header_id({"x-request-id": "req_1", "request-id": "req_2"}) == "req_1"
    assert header_id({"x-request-id": "\x01", "request-id": "req_2"}) == "req_2"
    assert header_id({}) is None
