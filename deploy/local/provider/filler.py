"""The text of a reply: filler words, one to a token, the same for the same request."""

from __future__ import annotations

_TEXT = (
    "the ledger holds what each call may cost and then a route is picked for it so every token"
    " has an owner when the answer comes back over this wire it says how much was used by whom"
    " on which channel under what price before any balance moves one line at a time and nothing"
    " is lost or told twice"
)
"""ASCII without quotes or backslashes: the words go into JSON as they are."""
WORDS = _TEXT.split()

_TOKENS = tuple(f" {word}".encode() for word in WORDS)
_CYCLE = len(_TOKENS)
_RUN = b"".join(_TOKENS)
_OFFSETS = tuple(len(b"".join(_TOKENS[:index])) for index in range(_CYCLE + 1))


def text(start: int, tokens: int) -> bytes:
    """`tokens` words from word `start` of the endless filler, as ASCII bytes."""
    first = start % _CYCLE
    rounds, rest = divmod(first + tokens, _CYCLE)
    return (_RUN * (rounds + 1))[_OFFSETS[first] : rounds * len(_RUN) + _OFFSETS[rest]]


def tokens(start: int, count: int) -> list[bytes]:
    """The same words one by one, for a stream."""
    first = start % _CYCLE
    rounds = (first + count) // _CYCLE + 1
    return list((_TOKENS * rounds)[first : first + count])
