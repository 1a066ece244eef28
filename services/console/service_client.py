"""One service's admin API over HTTP."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from services.console.addresses import Address, without_password
from services.console.errors import BadTokenError, RefusedError, UnreachableError

TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
TIMEOUT = httpx.Timeout(60, connect=5)


class ServiceClient:
    """GET and POST with the admin token; every failure is a ConsoleError whose message says what to do."""

    def __init__(
        self,
        service: str,
        address: Address,
        transport: httpx.BaseTransport | None = None,
        *,
        asked_with: str | None = None,
    ) -> None:
        if not TOKEN.fullmatch(address.token):
            raise BadTokenError(
                f"the token for {service} has characters that no token has (a space, a line break, a letter beyond ASCII): "
                "copy it again, and see --token, TOLLBOOK_TOKEN or --api-key"
            )
        self._service = service
        self._at = without_password(address.url)
        self._asked_with = asked_with
        self._http = httpx.Client(
            base_url=_url(service, address.url),
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
        return f"{self._service} {self._at}"

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

    def send(self, path: str, content: bytes, content_type: str, *, method: str = "POST", **query: str) -> Any:
        """The reply's JSON to a file's bytes."""
        return self._ask(method, path, content=content, headers={"content-type": content_type}, params=query)

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
            raise UnreachableError(f"what answers at {self._at} is not {self._service}: its reply is no JSON") from error

    def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            reply = self._http.request(method, path, **sent)
        except httpx.InvalidURL:
            raise UnreachableError(f"{self._service}'s URL {self._at} is not one") from None
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if not reply.is_success:
            raise self._refused(reply)
        return reply

    def _silent(self, error: httpx.HTTPError) -> UnreachableError:
        return UnreachableError(
            f"{self._service} does not answer at {self._at} ({type(error).__name__})",
            "see that it runs (`make up`) and that the URL is right",
        )

    def _refused(self, reply: httpx.Response) -> RefusedError:
        said = _json_object(reply)
        error = said.get("error")
        fields = error if isinstance(error, dict) else {}
        message = fields.get("message") or (
            f"{self._service} answered {reply.status_code} to {reply.request.method} {reply.request.url.path}: "
            f"{reply.text[:200] or reply.reason_phrase}"
        )
        if self._asked_with and reply.status_code == NOT_FOUND:
            message = f"{message.rstrip('.')} (asked with {self._asked_with})"
        return RefusedError(
            f"{_hinted(message, _hint(reply.status_code, fields.get('code')))}{_problems(fields.get('problems'))}",
            status=reply.status_code,
            code=fields.get("code"),
            reason=said.get("reason"),
        )


def _problems(problems: Any) -> str:
    """A file's mistakes, one a line; the message has the first."""
    if not isinstance(problems, list) or len(problems) <= 1:
        return ""
    return "".join(f"\n  line {each['line']}, column {each['column']}: {each['reason']}" for each in problems)


NOT_FOUND = 404
HINTS = {
    401: "log in again (`tollbook login`), or give the right --token (or --admin-token, TOLLBOOK_ADMIN_TOKEN)",
    429: "wait a moment and try again",
    502: "see `tollbook status`, and try again",
    503: "see `tollbook status`, and try again",
    504: "see `tollbook status`, and try again",
}


def _url(service: str, url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        # The cause repeats the URL, which may hold a password.
        raise UnreachableError(f"{service}'s URL {without_password(url)} is not one", "see how it is written") from None


def _hinted(message: str, hint: str) -> str:
    """The sentence, and what to do about it where the sentence does not say so itself."""
    if not hint or "try again" in message.lower():
        return message
    return f"{message.rstrip('.')}: {hint}"


def _hint(status: int, code: str | None) -> str:
    """What to do about a refusal whose own message may not say it."""
    if code == "idempotency_conflict":
        return "give another --idempotency-key, or repeat exactly what it was used for"
    return HINTS.get(status, "")


def _json_object(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
