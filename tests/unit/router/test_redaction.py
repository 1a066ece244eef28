"""The key that a provider was sent reaches nobody through what the provider says."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from services.router.redaction import Cleaned, mentions, safe_id, without_key

KEYS = ["sk-proj-AbCdEf0123456789+/=?&", "sk-ant-api03-zzzzzzzz", 'odd"key\\with/quotes', "AIzaSyÄÖ-unusual-key"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("around", ["", "a", "ab", "abc", "Bearer ", "user:"])
def test_every_usual_form_of_the_key_is_found(key: str, around: str) -> None:
    whole = f"{around}{key}{around}".encode()
    forms = [whole, base64.b64encode(whole), base64.urlsafe_b64encode(whole), whole.hex().encode(), whole[::-1]]
    forms += [quote(whole, safe="").encode(), quote(quote(whole, safe=""), safe="").encode()]
    for form in forms:
        assert mentions(b'{"error": {"message": "wrong key ' + form + b' given"}}', key), form


@pytest.mark.parametrize("text", [b"", b"The model does not exist.", b"sk-proj-AbCd...=?&", b"c2stcHJvai0="])
def test_other_texts_are_not_the_key(text: bytes) -> None:
    assert not any(mentions(text, key) for key in KEYS)
    assert all(without_key(text, key) == text for key in KEYS)


def test_a_short_key_is_a_word_and_is_left_alone() -> None:
    assert not mentions(b"a test", "test")
    assert without_key(b"a test", "test") == b"a test"


def test_an_id_that_holds_the_key_is_no_id() -> None:
    assert safe_id("req_1", KEYS[0]) == "req_1"
    assert safe_id(f"req-{KEYS[0]}", KEYS[0]) is None
    assert safe_id(None, KEYS[0]) is None


async def test_a_stream_passes_without_the_key() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"data: one\n\n"
        yield f"data: {KEYS[1]} two\n\n".encode()

    assert [part async for part in Cleaned(parts(), KEYS[1])] == [b"data: one\n\n", b"data: [redacted] two\n\n"]
