"""One service's admin API over HTTP."""

from types import TracebackType
from typing import Any, Self

import httpx

from services.console.addresses import Address
from services.console.errors import RefusedError, UnreachableError

TIMEOUT = httpx.Timeout(60, connect=5)


class ServiceClient:
    """GET and POST with the admin token; every failure is a ConsoleError whose message says what to do."""

    def __init__(self, service: str, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        self._service = service
        self._http = httpx.Client(
            base_url=address.url,
            headers={"authorization": f"Bearer {address.token}"},
            timeout=TIMEOUT,
            trust_env=False,
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | bool | list[str] | None) -> Any:
        """The reply's JSON; query values of None are left out."""
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def read(self, path: str, **query: str) -> bytes:
        """The reply's bytes as they came: what is signed must not be written anew."""
        return self._answer("GET", path, params=query).content

    def post(self, path: str, body: Any = None) -> Any:
        """The reply's JSON."""
        return self._ask("POST", path, json={} if body is None else body)

    def send(self, path: str, content: bytes, content_type: str, **query: str) -> Any:
        """The reply's JSON to a file's bytes."""
        return self._ask("POST", path, content=content, headers={"content-type": content_type}, params=query)

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
            raise UnreachableError(
                f"{self._service} does not answer at {self._http.base_url} ({type(error).__name__})",
                "see that it runs (`make up`) and that the URL is right",
            ) from error
        if not reply.is_success:
            raise self._refused(reply)
        return reply

    def _refused(self, reply: httpx.Response) -> RefusedError:
        said = _json_object(reply)
        error = said.get("error")
        fields = error if isinstance(error, dict) else {}
        message = fields.get("message") or reply.text[:200] or reply.reason_phrase
        hint = ": give the right --admin-token or TOLLBOOK_ADMIN_TOKEN" if reply.status_code == 401 else ""
        return RefusedError(
            f"{self._service} answered {reply.status_code} to {reply.request.method} {reply.request.url.path}: {message}{hint}",
            status=reply.status_code,
            code=fields.get("code"),
            reason=said.get("reason"),
        )


def _json_object(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
