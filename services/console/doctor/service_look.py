"""What the services say of themselves, check by check. A check that cannot be made says why."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.release import release
from services.console.addresses import SERVICES
from services.console.doctor import service_verdicts as verdicts
from services.console.doctor.findings import Finding, fail, ok, or_ok, skip, warn
from services.console.errors import ConsoleError, HintedError, RefusedError
from services.console.session import Session

NO_TOKEN = "tbu-000000000000-" + "0" * 49
ASKING_EDGE = ("router", "settlement", "analytics")
FILE = ("tollbook-doctor.jsonl", b'{"custom_id":"doctor"}\n', "application/jsonl")
NOT_THERE = frozenset({404, 405})
Check = Callable[[], Sequence[Finding]]


class ServiceLook:
    """The checks over HTTP. Each asks anew: what one service does not answer says nothing of the others."""

    def __init__(self, session: Session, api_key: str | None) -> None:
        self._session = session
        self._api_key = api_key

    def checks(self) -> Iterator[tuple[str, Check]]:
        """Name and check, in the order in which they are told."""
        yield "services", self.services
        yield "versions", self.versions
        yield "clock", self.clocks
        yield "introspection", self.introspection
        yield "lag", self.lag
        yield "channels", self.channels
        yield "prices", self.prices
        yield "price book", self.price_book
        yield "sealed keys", self.sealed
        yield "object store", self.object_store

    def services(self) -> list[Finding]:
        """Whether each can do its work, and what listens where it should."""
        found = []
        for service in SERVICES:
            try:
                self._get(service, "/readyz")
            except RefusedError as error:
                todo = f"read {service}'s log; what it names has to be there first"
                found.append(fail("services", f"{service} is not ready: {error.reason or error}", todo))
            except HintedError as error:
                found.append(fail("services", error.fact, error.hint or "see that nothing else has its port, and start it"))
            except ConsoleError as error:
                found.append(fail("services", str(error), f"start {service}"))
        return or_ok("services", found, "every service is ready")

    def versions(self) -> list[Finding]:
        """Whether all run the same Tollbook."""
        return verdicts.versions(release(), {service: self._get(service, "/healthz") for service in SERVICES})

    def clocks(self) -> list[Finding]:
        """Whether the services' machines have the time of this one."""
        found = []
        for service in SERVICES:
            asked_at = datetime.now(UTC)
            told = self._get(service, "/healthz").get("at")
            if told is not None:
                took = datetime.now(UTC) - asked_at
                found += verdicts.clock(service, datetime.fromisoformat(told), asked_at + took / 2, took)
        return or_ok("clock", found, "the services' clocks are this machine's")

    def introspection(self) -> list[Finding]:
        """Whether a service that is shown an access token can ask edge about it."""
        answers = {}
        for service in ASKING_EDGE:
            path = "/admin/channels" if service == "router" else "/admin/lag"
            with self._session.connect(service) as client:
                try:
                    with client.opened("GET", path, headers={"authorization": f"Bearer {NO_TOKEN}"}) as reply:
                        answers[service] = reply.status_code
                except RefusedError as error:
                    answers[service] = error.status
        return verdicts.introspection(answers)

    def lag(self) -> list[Finding]:
        """Whether what is in Kafka is posted and loaded."""
        found = [
            each for service in ("settlement", "analytics") for each in verdicts.lag(service, self._get(service, "/admin/lag"))
        ]
        return or_ok("lag", found, "settlement and analytics are up to date")

    def channels(self) -> list[Finding]:
        """Whether every channel can be called, and every model answered."""
        rows = self._get("router", "/admin/channels")["data"]
        found = verdicts.channels(rows) + verdicts.unserved(self._table(), rows)
        if not rows:
            found.append(warn("channels", "there is no channel", "tollbook init, or tollbook routes apply FILE"))
        return or_ok("channels", found, f"{len(rows)} channels may be called")

    def prices(self) -> list[Finding]:
        """Whether every route has a price."""
        found = verdicts.prices(self._table(), self._book()["book"])
        return or_ok("prices", found, "every routed model has a price on each of its routes")

    def price_book(self) -> list[Finding]:
        """Whether the book in force is one of today."""
        return verdicts.price_book(self._book(), datetime.now(UTC))

    def sealed(self) -> list[Finding]:
        """Whether former secrets keys are still needed."""
        return verdicts.sealed(self._get("router", "/admin/secrets"))

    def object_store(self) -> list[Finding]:
        """Whether edge can keep and forget a file, with the API key that is known."""
        try:
            client = self._session.connect_customer(self._api_key)
        except ConsoleError:
            return [skip("object store", "not tried: it takes an API key", "give --api-key")]
        with client as edge:
            try:
                with edge.opened("POST", "/v1/files", files={"file": FILE}, data={"purpose": "batch"}) as reply:
                    reply.read()
                    file_id = reply.json()["id"]
                with edge.opened("DELETE", f"/v1/files/{file_id}"):
                    pass
            except RefusedError as error:
                todo = "see TOLLBOOK_OBJECT_STORE_URL and its credentials, at edge and at the batch worker"
                return [fail("object store", f"a file could not be kept: {error}", todo)]
        return [ok("object store", "a file was kept and removed again")]

    def _get(self, service: str, path: str) -> Any:
        with self._session.connect(service) as client:
            return client.get(path)

    def _table(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._get("router", "/admin/routes/export")["table"]
        return found

    def _book(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._get("settlement", "/admin/price-books/current")
        return found
