"""Length-framed text: a sequence of values as bytes that no other sequence has. Pure.

Each value is `<length of its UTF-8>:<text>,` (a netstring); an integer is its decimal digits, an absent value is `~`.
So `["ab", 7, None]` is `2:ab,1:7,~`, and nothing can move from one value into the next without changing a length.
"""

from collections.abc import Iterable

Value = str | int | None


def frame(values: Iterable[Value]) -> bytes:
    """The values, one after the other."""
    kept = list(values)
    text = "".join(["~" if value is None else f"{len(str(value))}:{value}," for value in kept])
    if text.isascii():
        return text.encode("ascii")
    # Characters and bytes are not the same number here.
    return b"".join([b"~" if value is None else _framed(str(value).encode()) for value in kept])


def _framed(raw: bytes) -> bytes:
    return b"%d:%b," % (len(raw), raw)
