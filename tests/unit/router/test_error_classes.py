"""Every error of the HTTP libraries has a class of ours; what is none of theirs stays a defect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import aiohttp
import httpx
import pytest

from schemas.attempts import ErrorClass
from services.router.transport import BodyTooLongError
from services.router.upstream import error_class_of


def family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for each in root.__subclasses__():
        yield from family(each)


THEIRS = sorted({*family(httpx.HTTPError), *family(aiohttp.ClientError)}, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", [kind for kind in THEIRS if kind.__module__.startswith(("httpx", "aiohttp"))])
def test_every_error_of_the_libraries_has_a_class(kind: type[BaseException]) -> None:
    assert error_class_of(kind.__new__(kind)) in get_args(ErrorClass)


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (httpx.ConnectError("no"), "connection_failed"),
        (httpx.ConnectTimeout("no"), "connection_failed"),
        (httpx.PoolTimeout("no"), "connection_failed"),
        (aiohttp.ServerDisconnectedError(), "connection_failed"),
        (ConnectionResetError(), "connection_failed"),
        (aiohttp.ClientPayloadError(), "connection_failed"),
        (httpx.ReadError("no"), "connection_failed"),
        (TimeoutError(), "timeout"),
        (httpx.ReadTimeout("no"), "timeout"),
        (aiohttp.SocketTimeoutError(), "timeout"),
        (BodyTooLongError(), "malformed_reply"),
        (httpx.DecodingError("no"), "malformed_reply"),
        (aiohttp.ClientResponseError(None, ()), "malformed_reply"),  # type: ignore[arg-type]  # nothing of it is read
    ],
)
def test_what_an_error_means(error: Exception, error_class: str) -> None:
    assert error_class_of(error) == error_class


def test_the_cause_tells_more_than_the_transports_own_error() -> None:
    told = httpx.ConnectTimeout("no")
    told.__cause__ = TimeoutError()
    assert error_class_of(told) == "timeout"


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("no"), RuntimeError("no")])
def test_a_defect_of_ours_has_no_class(error: Exception) -> None:
    assert error_class_of(error) is None
