"""The first content of a stack: prices, routes, a demo account with a key, and money in both buckets.

What was done is remembered in the home, so that a second run repeats nothing; a database that does not know the
remembered account is taken for a new one.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import httpx

from deploy.local.errors import StepFailedError
from deploy.local.home import CHECKOUT, Home, read_json, write_json
from deploy.local.stackfile import Demo

CATALOG = CHECKOUT / "deploy" / "catalog"
TIMEOUT_S = 30.0
TOPUPS = {"credit": "1000.00", "wallet": "5000.00"}


def seed(home: Home, environment: Mapping[str, str], note: Callable[[str], None] = lambda _: None) -> Demo:
    """Bring the running services to the demo's state and return its credentials; raises StepFailedError on a refusal.

    Routes and prices that somebody else put in force stay: `note` is told so.
    """
    authorization = {"authorization": f"Bearer {environment['TOLLBOOK_ADMIN_TOKEN']}"}
    with httpx.Client(headers=authorization, timeout=TIMEOUT_S, trust_env=False) as client:
        return _Seed(home, environment, client, note).run()


def expanded(path: Path, environment: Mapping[str, str]) -> str:
    """The file with `${NAME}` filled in outside of comments; raises StepFailedError for a name that is not set."""
    try:
        lines = path.read_text().splitlines(keepends=True)
        return "".join(line if line.lstrip().startswith("#") else Template(line).substitute(environment) for line in lines)
    except KeyError as missing:
        raise StepFailedError(f"{path} needs the environment variable {missing.args[0]}, which is not set") from missing
    except ValueError as broken:
        raise StepFailedError(f"{path} has a `$` that begins no ${{NAME}}: write `$$` for the sign itself") from broken


class _Seed:
    def __init__(self, home: Home, environment: Mapping[str, str], client: httpx.Client, note: Callable[[str], None]) -> None:
        self._note = note
        self._home = home
        self._environment = environment
        self._client = client
        self._done = read_json(home.seed_file)

    def run(self) -> Demo:
        self._forget_another_database()
        self._publish("settlement", "/admin/price-books", "prices.yaml")
        self._publish("router", "/admin/routes", "routes.yaml")
        self._apply_rules()
        account_id = self._once("account_id", "/admin/accounts", {"name": "demo"})
        project_id = self._once("project_id", "/admin/projects", {"account_id": account_id, "name": "demo"})
        api_key = self._once("api_key", "/admin/keys", {"project_id": project_id, "name": "demo", "environment": "demo"})
        for bucket, amount in TOPUPS.items():
            self._top_up(account_id, bucket, amount)
        return Demo(account_id=account_id, project_id=project_id, api_key=api_key)

    def _forget_another_database(self) -> None:
        if "account_id" not in self._done:
            return
        reply = self._client.get(f"{self._environment['TOLLBOOK_EDGE_URL']}/admin/accounts/{self._done['account_id']}")
        if reply.status_code == httpx.codes.NOT_FOUND:
            self._done = {}
        else:
            self._checked(reply)

    def _publish(self, service: str, path: str, file: str) -> None:
        """Send the catalog file, unless this very text was sent before, or what is in force is not what was sent then."""
        text = expanded(CATALOG / file, self._environment)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self._done.get(file) == digest:
            return
        url = self._environment[f"TOLLBOOK_{service.upper()}_URL"] + path
        in_force = self._version(f"{url}/current" if service == "settlement" else url)
        if in_force and in_force != self._done.get(f"{file} version"):
            apply = f"tollbook {file.removesuffix('.yaml')} apply deploy/catalog/{file}"
            self._note(
                f"The demo's {file} has changed; version {in_force} in force is not the demo's and stays. To change it: {apply}"
            )
            self._remember(file, digest)
            return
        asked = {"expected_version": in_force}
        sent = self._client.post(url, params=asked, content=text, headers={"content-type": "application/yaml"})
        self._remember(f"{file} version", self._checked(sent)["version"])
        self._remember(file, digest)

    def _apply_rules(self) -> None:
        """Put the alert rules in force where none are; where analytics does not run, the next seed does."""
        url = f"{self._environment['TOLLBOOK_ANALYTICS_URL']}/admin/alert-rules"
        try:
            if self._version(url) == 0:
                text = (CATALOG / "alerts.yaml").read_text("utf-8")
                headers = {"content-type": "application/yaml"}
                self._checked(self._client.put(url, params={"expected_version": 0}, content=text, headers=headers))
        except httpx.ConnectError:
            self._note("analytics does not run: no alert rules were applied")

    def _version(self, url: str) -> int:
        """The version in force, 0 where there is none yet."""
        reply = self._client.get(url)
        if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE and reply.json()["error"]["code"] == "no_price":
            return 0
        return int(self._checked(reply)["version"])

    def _once(self, field: str, path: str, body: Mapping[str, str]) -> str:
        """Return the remembered field, or create the thing at edge and remember the field of the reply."""
        if field not in self._done:
            url = self._environment["TOLLBOOK_EDGE_URL"] + path
            self._remember(field, self._checked(self._client.post(url, json=body))[field])
        return str(self._done[field])

    def _top_up(self, account_id: str, bucket: str, amount: str) -> None:
        payment = {"provider": "demo", "payment_id": f"demo-{account_id}-{bucket}"}
        body = {"account_id": account_id, "bucket": bucket, "amount": amount, **payment}
        self._checked(self._client.post(f"{self._environment['TOLLBOOK_SETTLEMENT_URL']}/admin/topups", json=body))

    def _remember(self, name: str, value: str | int) -> None:
        self._done[name] = value
        write_json(self._home.seed_file, self._done)

    def _checked(self, reply: httpx.Response) -> dict[str, Any]:
        if not reply.is_success:
            raise StepFailedError(f"{reply.request.method} {reply.request.url} answered {reply.status_code}", reply.text)
        body: dict[str, Any] = reply.json()
        return body
