"""Hears how many tokens a reply took, which router tells beside it, and keeps that from the client.

A plain reply has it in a header; a stream in one comment of its own before its end, since its headers are long gone by then.
"""

from schemas.calls import TOKENS_COMMENT

_BEGIN = TOKENS_COMMENT.encode()


class TokenTap:
    """Takes the comment out of a stream's bytes, wherever they are cut. `tokens` is None until it came.

    Only a line of its own is one: within an event a line break is written as two characters. What may be its beginning is held
    back until it is known; no event begins like it, so none is late for it.
    """

    def __init__(self) -> None:
        self.tokens: int | None = None
        self._held = b""
        self._at_line_start = True

    def pass_on(self, chunk: bytes) -> bytes:
        """What goes on to the client at once."""
        text = self._held + chunk
        self._held = b""
        begin = self._find(text)
        end = text.find(b"\n", begin) if begin >= 0 else -1
        if begin >= 0 and end < 0:
            self._held = text[begin:]
            return self._passed(text[:begin])
        if begin >= 0 and (digits := text[begin + len(_BEGIN) : end]).isdigit():
            self.tokens = int(digits)
            return self._passed(text[:begin] + text[end + 1 :])
        return self._passed(text)

    def rest(self) -> bytes:
        """What was held back when the stream ended: it did not become the comment."""
        held, self._held = self._held, b""
        return held

    def _find(self, text: bytes) -> int:
        """Where a line begins that is the comment or may become it; -1 where none does."""
        if self._at_line_start and _is_comment(text):
            return 0
        begin = text.find(b"\n" + _BEGIN)
        if begin >= 0:
            return begin + 1
        last = text.rfind(b"\n") + 1
        return last if last and _is_comment(text[last:]) else -1

    def _passed(self, text: bytes) -> bytes:
        if text:
            self._at_line_start = text.endswith(b"\n")
        return text


def _is_comment(line: bytes) -> bool:
    """Whether a line begins as the comment, as far as it has come."""
    return bool(line) and (line.startswith(_BEGIN) or _BEGIN.startswith(line))
