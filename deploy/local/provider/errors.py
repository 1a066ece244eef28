"""What the simulator raises. Each says what to do with it.

RefusedError      answer it, in the dialect's error shape
BadControlError   answer it, in the control endpoint's error shape
"""

from __future__ import annotations


class RefusedError(Exception):
    """The request is wrong as a provider sees it: answer `status` with the dialect's error body.

    Attributes:
        status: the HTTP status, 400..499.
        param: the request field at fault, or None.
        code: the provider's machine-readable code, or None.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


class BadControlError(Exception):
    """The call to the control endpoint is wrong: answer `status` with the message, change nothing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
