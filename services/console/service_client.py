"""One service's admin API over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from services.console.addresses import Address
from services.console.errors import RefusedError, UnreachableError

TIMEOUT = httpx.Timeout(60, connect=5)


class ServiceClient:
    """GET and POST with the admin token; every failure is a ConsoleError whose message says what to do."""

    def __init__(
        self,
        service: str,
        address: Address,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = service
        self._http = httpx.Client(
            base_url=address.url,
            headers={"authorization": f"Bearer {address.token}"},
            timeout=TIMEOUT,
            trust_env=False,
            verify=address.url.startswith("https"),  # to read the certificates takes longer than most commands
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    @property
    def where(self) -> str:
        """Which service it is, and at which address."""
        return f"{self._service} {self._http.base_url}"

    def answer_within(self, timeout: httpx.Timeout) -> None:
        """Wait no longer than this for every answer from now on."""
        self._http.timeout = timeout

    def get(self, path: str, **query: str | int | bool | list[str] | None) -> Any:
        """The reply's JSON; query values of None are left out."""
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def read(self, path: str, **query: str) -> bytes:
        """The reply's bytes as they came: what is signed must not be written anew."""
        return self._answer("GET", path, params=query).content

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        """The reply's JSON."""
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        return self._ask("POST", path, json={} if body is None else body, headers=headers)

    def change(self, method: str, path: str, body: Any = None, **query: int | None) -> Any:
        """The reply's JSON to a PATCH, PUT or DELETE; None where it has no content."""
        params = {name: value for name, value in query.items() if value is not None}
        sent = {} if body is None else {"json": body}
        reply = self._answer(method, path, params=params, **sent)
        return reply.json() if reply.content else None

    def send(self, path: str, content: bytes, content_type: str, **query: str) -> Any:
        """The reply's JSON to a file's bytes."""
        return self._ask("POST", path, content=content, headers={"content-type": content_type}, params=query)

    @contextmanager
    def opened(self, method: str, path: str, **sent: Any) -> Iterator[httpx.Response]:
        """A reply whose body is read as it comes."""
        try:
            with self._http.stream(method, path, **sent) as reply:
                if not reply.is_success:
                    reply.read()
                    raise self._refused(reply)
                yield reply
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    def _ask(self, method: str, path: str, **sent: Any) -> Any:
        try:
            return self._answer(method, path, **sent).json()
        except ValueError as error:
            raise UnreachableError(
                f"what answers at {self._http.base_url} is not {self._service}: its reply is no JSON"
            ) from error

    def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            reply = self._http.request(method, path, **sent)
        except httpx.InvalidURL as error:
            raise UnreachableError(f"{self._service}'s URL is not one: {error}") from error
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if not reply.is_success:
            raise self._refused(reply)
        return reply

    def _silent(self, error: httpx.HTTPError) -> UnreachableError:
        return UnreachableError(
            f"{self._service} does not answer at {self._http.base_url} ({type(error).__name__})",
            "see that it runs (`make up`) and that the URL is right",
        )

    def _refused(self, reply: httpx.Response) -> RefusedError:
        said = _json_object(reply)
        error = said.get("error")
        fields = error if isinstance(error, dict) else {}
        message = fields.get("message") or reply.text[:200] or reply.reason_phrase
        return RefusedError(
            f"{self._service} answered {reply.status_code} to {reply.request.method} {reply.request.url.path}: "
            f"{message}{_hint(reply.status_code, fields.get('code'))}{_problems(fields.get('problems'))}",
            status=reply.status_code,
            code=fields.get("code"),
            reason=said.get("reason"),
        )


def _problems(problems: Any) -> str:
    """A file's mistakes, one a line; the message has the first."""
    if not isinstance(problems, list) or len(problems) <= 1:
        return ""
    return "".join(f"\n  line {each['line']}, column {each['column']}: {each['reason']}" for each in problems)


HINTS = {
    401: "log in again (`tollbook login`), or give the right --token (or --admin-token, TOLLBOOK_ADMIN_TOKEN)",
    429: "wait a moment and try again",
    502: "see `tollbook status`, and try again",
    503: "see `tollbook status`, and try again",
    504: "see `tollbook status`, and try again",
}


def _hint(status: int, code: str | None) -> str:
    """What to do about a refusal whose own message may not say it."""
    if code == "idempotency_conflict":
        return ": give another --idempotency-key, or repeat exactly what it was used for"
    return f": {HINTS[status]}" if status in HINTS else ""


def _json_object(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
