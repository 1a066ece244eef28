"""A stored reply opens under its own key, idempotency key and request alone, and is kept only while it is short."""

from uuid import UUID

import pytest

from services.edge.stored_replies import MAX_BYTES, ReplyCopy, ReplySafe, StoredReply

REPLY = StoredReply(200, [(b"content-type", b"application/json"), (b"x-tollbook-channel", b"caf\xe9")], b'{"a":"\n\xff"}')
BOUND = {"key_id": "k1", "idempotency_key": "order 1", "request_id": UUID(int=1)}


def test_a_sealed_reply_opens_as_it_was() -> None:
    safe = ReplySafe([b"k" * 32])
    sealed = safe.seal(REPLY, key_id="k1", idempotency_key="order 1", request_id=UUID(int=1))
    assert b"json" not in sealed
    assert safe.open(sealed, key_id="k1", idempotency_key="order 1", request_id=UUID(int=1)) == REPLY


@pytest.mark.parametrize("other", [{"key_id": "k2"}, {"idempotency_key": "order 2"}, {"request_id": UUID(int=2)}])
def test_a_reply_does_not_open_for_another_request(other: dict[str, object]) -> None:
    safe = ReplySafe([b"k" * 32])
    sealed = safe.seal(REPLY, **BOUND)  # type: ignore[arg-type]  # one dictionary for the three names
    assert safe.open(sealed, **{**BOUND, **other}) is None  # type: ignore[arg-type]  # the same
    assert ReplySafe([b"x" * 32]).open(sealed, **BOUND) is None  # type: ignore[arg-type]  # the same


def test_two_seals_of_one_reply_differ() -> None:
    safe = ReplySafe([b"k" * 32])
    assert safe.seal(REPLY, **BOUND) != safe.seal(REPLY, **BOUND)  # type: ignore[arg-type]  # one dictionary for three names


def test_a_copy_is_whole_or_none() -> None:
    copy = ReplyCopy(wanted=True)
    copy.add(b"a" * (MAX_BYTES - 1))
    copy.add(b"b")
    kept = copy.reply(200, [])
    assert kept is not None
    assert len(kept.body) == MAX_BYTES
    copy.add(b"c")
    assert copy.reply(200, []) is None
    unwanted = ReplyCopy(wanted=False)
    unwanted.add(b"a")
    assert unwanted.reply(200, []) is None


def test_a_reply_opens_after_its_key_was_replaced() -> None:
    sealed = ReplySafe([b"k" * 32]).seal(REPLY, **BOUND)  # type: ignore[arg-type]  # one dictionary for the three names
    rotated = ReplySafe([b"x" * 32, b"k" * 32])
    assert rotated.open(sealed, **BOUND) == REPLY  # type: ignore[arg-type]  # the same
    assert ReplySafe([b"x" * 32]).open(rotated.seal(REPLY, **BOUND), **BOUND) == REPLY  # type: ignore[arg-type]  # the same
