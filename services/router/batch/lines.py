"""The lines of a batch's file: JSON objects, each a request with a name of its own. Pure.

What is refused never quotes the file: messages say which line, which member and what it should be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from schemas.batches import BatchError

LINES_MAX = 50_000
LINE_BYTES_MAX = 32 * 1024 * 1024
ERRORS_MAX = 100
CUSTOM_ID_MAX = 512
ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")
"""What a batch may ask for."""


class Line(NamedTuple):
    """A line that may be worked on."""

    custom_id: str
    body: dict[str, Any]


class LineRefusedError(ValueError):
    """The line is not a request of this batch: the batch fails, and names it."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def read_line(raw: bytes, endpoint: str) -> Line:
    """The request in a line. Raises :class:`LineRefusedError`."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise LineRefusedError("invalid_json_line", "This line is not valid JSON.") from None
    if not isinstance(document, dict):
        raise LineRefusedError("invalid_json_line", "This line must be a JSON object.")
    custom_id, body = document.get("custom_id"), document.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= CUSTOM_ID_MAX:
        raise LineRefusedError(
            "invalid_custom_id", f"custom_id must be a text of 1 to {CUSTOM_ID_MAX} characters.", "custom_id"
        )
    if document.get("method") != "POST":
        raise LineRefusedError("invalid_method", "method must be POST.", "method")
    if document.get("url") != endpoint:
        raise LineRefusedError("mismatched_url", f"url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise LineRefusedError("invalid_request", "body must be an object.", "body")
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise LineRefusedError("invalid_request", "body.model must be a text of 1 to 128 characters.", "body.model")
    if body.get("stream"):
        raise LineRefusedError("invalid_request", "A request of a batch cannot stream.", "body.stream")
    return Line(custom_id, body)


class FileCheck:
    """Checks a file line by line; remembers where each request begins, and what is wrong with it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._model: str | None = None
        self._names: set[str] = set()
        self.spans: list[tuple[int, int]] = []
        self.errors: list[BatchError] = []
        self._number = 0

    def take(self, start: int, raw: bytes) -> bool:
        """One line, which begins at byte `start`; blank ones do not count. False where no more need be looked at."""
        self._number += 1
        if not raw.strip():
            return True
        if len(self.spans) == LINES_MAX:
            self._refuse("too_many_requests", f"A batch has at most {LINES_MAX} requests.")
            return False
        self.spans.append((start, len(raw)))
        try:
            self._look(raw)
        except LineRefusedError as refused:
            self._refuse(refused.code, str(refused), refused.param)
        return len(self.errors) < ERRORS_MAX

    def end(self) -> None:
        """The file is over."""
        if not self.spans and not self.errors:
            self.errors.append(BatchError(code="empty_file", message="The file holds no request."))

    def _look(self, raw: bytes) -> None:
        if len(raw) > LINE_BYTES_MAX:
            raise LineRefusedError("line_too_large", f"A request has at most {LINE_BYTES_MAX} bytes.")
        line = read_line(raw, self._endpoint)
        if line.custom_id in self._names:
            raise LineRefusedError("duplicate_custom_id", "custom_id is used by an earlier line.", "custom_id")
        self._names.add(line.custom_id)
        self._model = self._model or line.body["model"]
        if line.body["model"] != self._model:
            raise LineRefusedError("mismatched_model", "All requests of a batch ask for the same model.", "body.model")

    def _refuse(self, code: str, message: str, param: str | None = None) -> None:
        self.errors.append(BatchError(code=code, message=message, line=self._number, param=param))
