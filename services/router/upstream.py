"""The calls to providers. Every failure leaves as :class:`UpstreamError`, mapped in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import NamedTuple

import aiohttp
import httpx

from schemas.attempts import ErrorClass
from schemas.envelope import now
from services.router.backoff import retry_after_of
from services.router.call import Call, Running
from services.router.dialects.dialect import Dialect
from services.router.dialects.openai import Reply
from services.router.errors import StreamMalformedError, UpstreamError
from services.router.open_stream import OpenStream
from services.router.redaction import Cleaned, mentions, safe_id, without_key
from services.router.stream_reader import StreamReader
from services.router.translation import dialect_of, said
from services.router.transport import BodyTooLongError, PoolLimits, read_bounded, timeouts
from services.router.upstream_ids import header_id

REPLY_BYTES_MAX = 64 * 1024 * 1024
_CONNECT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    aiohttp.ClientConnectorError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ConnectionTimeoutError,
    ConnectionError,
)

_UNCONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    ConnectionRefusedError,
)


class UpstreamTimes(NamedTuple):
    """Bounds in seconds: to the first byte of an answer, and between two reads of a stream."""

    first_byte_s: float
    between_reads_s: float


class Upstream:
    """Calls channels over one connection pool."""

    def __init__(self, transport: httpx.AsyncBaseTransport, limits: PoolLimits, times: UpstreamTimes) -> None:
        self._transport = transport
        self._extensions = timeouts(limits, None)
        self.times = times
        self._urls: dict[str, httpx.URL] = {}

    async def fetch(self, call: Call, running: Running) -> Reply:
        """A plain reply. Raises :class:`UpstreamError`."""
        dialect, key = dialect_of(call, running.position), running.place.channel.keys[running.key]
        request = self._request(dialect, call, running)
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout_at(self._patience(call)):
                response = await self._transport.handle_async_request(request)
                body = await read_bounded(response, REPLY_BYTES_MAX)
            return _read(dialect, response, body, key)
        except UpstreamError as failure:
            _name(failure, response, key)
            raise
        except Exception as exc:
            failed = _failure(exc, response, key)
            if failed is exc:
                raise
            raise failed from exc

    async def open_stream(self, call: Call, running: Running) -> OpenStream:
        """A streamed reply whose first chunk has come. Raises :class:`UpstreamError`: nothing has reached the client then."""
        dialect, key = dialect_of(call, running.position), running.place.channel.keys[running.key]
        request = self._request(dialect, call, running)
        chunks = call.api.stream(call.ask, dialect.stream(call.ask.choices, running.cover.grant.output_cap * call.ask.choices))
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout_at(self._patience(call)):
                response = await self._transport.handle_async_request(request)
                return await _begun(dialect, response, chunks, key, until_content=call.context.policy.restart_streams)
        except UpstreamError as failure:
            _name(failure, response, key)
            raise
        except Exception as exc:
            failed = _failure(exc, response, key)
            if failed is exc:
                raise
            raise failed from exc

    def _patience(self, call: Call) -> float:
        return min(monotonic() + self.times.first_byte_s, call.deadline)

    def _request(self, dialect: Dialect, call: Call, running: Running) -> httpx.Request:
        channel, model = running.place.channel, running.place.upstream_model
        body = said(call, running.position)
        headers = dialect.headers(channel.keys[running.key])
        url = self._url(channel.base_url + dialect.path(model, stream=call.ask.stream))
        return httpx.Request("POST", url, headers=headers, content=body, extensions=self._extensions)

    def _url(self, address: str) -> httpx.URL:
        url = self._urls.get(address)
        if url is None:
            if len(self._urls) >= 10_000:
                self._urls.clear()
            url = self._urls[address] = httpx.URL(address)
        return url


def _read(dialect: Dialect, response: httpx.Response, body: bytes, key: str) -> Reply:
    if response.status_code != 200:
        raise _refused(dialect, response, body, key)
    reply = dialect.read_reply(without_key(body, key))
    return reply._replace(upstream_id=safe_id(reply.upstream_id or header_id(response.headers), key))


async def _begun(
    dialect: Dialect, response: httpx.Response, chunks: StreamReader, key: str, *, until_content: bool
) -> OpenStream:
    """The stream once its first chunk has come, or its first content. Closes the response where that fails."""
    if response.status_code != 200:
        raise _refused(dialect, response, await read_bounded(response, REPLY_BYTES_MAX), key)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    parts = Cleaned(response.stream.__aiter__(), key)
    try:
        return await _first_chunk(response, parts, chunks, key, until_content=until_content)
    except BaseException:
        await response.aclose()
        raise


async def _first_chunk(
    response: httpx.Response, parts: AsyncIterator[bytes], chunks: StreamReader, key: str, *, until_content: bool
) -> OpenStream:
    """Nothing of what is read here has reached the client: where it breaks, another attempt may be made.

    Where the policy restarts streams, what opens a stream without saying anything is kept back too.
    """
    first = b""
    async for part in parts:
        try:
            first += chunks.feed(part)
        except StreamMalformedError as exc:
            raise UpstreamError("malformed_reply", "retry", status=200, usage=chunks.usage) from exc
        kept_back = not chunks.started or (until_content and not (chunks.tokens_seen or chunks.complete or chunks.capped))
        if chunks.error is not None and kept_back:
            raise UpstreamError("upstream_error", "retry", status=200, usage=chunks.usage)
        if not kept_back:
            return OpenStream(response, parts, chunks, first, key)
        if chunks.done:
            break
    raise UpstreamError("stream_cut", "retry", status=200, usage=chunks.usage)


def _failure(exc: Exception, response: httpx.Response | None, key: str) -> Exception:
    """What an error of the HTTP libraries means; anything else is a defect, and stays what it is."""
    error_class = error_class_of(exc)
    if error_class is None:
        return exc
    served = response is None or response.status_code == 200
    failure = UpstreamError(error_class, "retry", sent=served and not _unsent(exc))
    _name(failure, response, key)
    return failure


def _name(failure: UpstreamError, response: httpx.Response | None, key: str) -> None:
    """Note the provider's id of a reply that had begun."""
    found = header_id(response.headers) if failure.upstream_id is None and response is not None else failure.upstream_id
    failure.upstream_id = safe_id(found, key)


def error_class_of(exc: BaseException) -> ErrorClass | None:
    """The class of an error of the HTTP libraries, None for one that is not theirs.

    The transport reports a broken connection as ConnectTimeout; the error that it came from tells more.
    """
    cause = exc.__cause__ if isinstance(exc, httpx.HTTPError) and exc.__cause__ is not None else exc
    if isinstance(cause, _CONNECT):
        return "connection_failed"
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return "timeout"
    if isinstance(cause, aiohttp.ClientPayloadError | httpx.ReadError | httpx.RemoteProtocolError):
        return "connection_failed"
    if isinstance(cause, aiohttp.ClientError | httpx.HTTPError | BodyTooLongError):
        return "malformed_reply"
    return "connection_failed" if isinstance(cause, OSError) else None


def _unsent(exc: BaseException) -> bool:
    """Whether the connection was never made: then nobody can have worked on the request."""
    cause = exc.__cause__ if isinstance(exc, httpx.HTTPError) and exc.__cause__ is not None else exc
    return isinstance(cause, _UNCONNECTED)


def _refused(dialect: Dialect, response: httpx.Response, body: bytes, key: str) -> UpstreamError:
    """What a refusal means. The provider's own words reach the client only where they do not repeat the key."""
    retry_after_s = retry_after_of(response.headers, now())
    failure = dialect.failure_of(response.status_code, body, retry_after_s)
    if failure.body and (mentions(body, key) or mentions(failure.body, key)):
        failure.body = b""
    return failure
