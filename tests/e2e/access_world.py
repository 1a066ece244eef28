"""What the access matrix asks about: two accounts with everything in them, users of every role, and a body for every call."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml

from tests.e2e.access_rows import ROLES

MONTH = f"{datetime.now(UTC):%Y-%m}"
NOWHERE = "00000000-0000-7000-8000-000000000000"
RULES = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "catalog" / "alerts.yaml").read_text("utf-8"))


class Root:
    """Calls with the admin token, which must succeed."""

    def __init__(self, stack: dict[str, Any], http: httpx.Client, service_token: str) -> None:
        self.stack = stack
        self._service_token = service_token
        self.http = http
        self._headers = {"authorization": f"Bearer {stack['admin_token']}"}

    def get(self, service: str, path: str) -> Any:
        """The reply's JSON."""
        return self._told(self.http.get(self.stack[f"{service}_url"] + path, headers=self._headers))

    def post(self, service: str, path: str, body: Any) -> Any:
        """The reply's JSON."""
        return self._told(self.http.post(self.stack[f"{service}_url"] + path, json=body, headers=self._headers))

    def judge(self, verdict: dict[str, Any]) -> None:
        """Tell analytics of what exceeds, as the meter does."""
        url = f"{self.stack['analytics_url']}/internal/verdicts"
        body = {"meter": "matrix", "sent_at": datetime.now(UTC).isoformat(), "verdicts": [verdict]}
        self._told(self.http.post(url, json=body, headers={"authorization": f"Bearer {self._service_token}"}))

    def put(self, path: str, body: Any) -> None:
        """Put something of router's in force."""
        self._told(self.http.put(self.stack["router_url"] + path, json=body, headers=self._headers))

    def delete(self, path: str) -> None:
        """Take something of router's away."""
        self._told(self.http.delete(self.stack["router_url"] + path, headers=self._headers))

    @staticmethod
    def _told(reply: httpx.Response) -> Any:
        assert reply.is_success, f"{reply.request.url}: {reply.status_code} {reply.text}"
        return reply.json()


@dataclass(frozen=True, slots=True)
class Person:
    """A user with an access token."""

    user_id: str
    token_id: str
    token: str
    grant_id: str | None


def person(root: Root, role: str | None, account_id: str | None, *, expires_at: str | None = None) -> Person:
    """A new user, who has one role or none."""
    grants = [] if role is None else [{"role": role, "account_id": account_id}]
    user = root.post("edge", "/admin/users", {"name": f"{role or 'nobody'} of the matrix", "grants": grants})
    body = {"name": "matrix"} if expires_at is None else {"name": "matrix", "expires_at": expires_at}
    made = root.post("edge", f"/admin/users/{user['user_id']}/tokens", body)
    given = user["grants"][0]["grant_id"] if user["grants"] else None
    return Person(user["user_id"], made["token_id"], made["access_token"], given)


class Routes:
    """A channel and a model in the route table that nothing but the matrix asks for."""

    channel, model = "matrix-channel", "matrix-model"

    def __init__(self, root: Root) -> None:
        self._root = root
        table = root.get("router", "/admin/routes/export")["table"]
        self._model = {**table["models"][0], "id": self.model}
        keys = [{"secret": "a-key-of-the-matrix"}]
        self._channel = {**table["channels"][0], "id": self.channel, "keys": keys}
        self.put()
        self.table = root.get("router", "/admin/routes/export")["table"]

    def put(self) -> None:
        """Both are in force, as at first."""
        self._root.put(f"/admin/channels/{self.channel}", self._channel)
        self._root.put(f"/admin/models/{self.model}", self._model)

    def take_away(self) -> None:
        """The table is as it was."""
        self.put()
        self._root.post("router", f"/admin/channels/{self.channel}/unfreeze", {})
        self._root.delete(f"/admin/channels/{self.channel}")
        self._root.delete(f"/admin/models/{self.model}")

    def body(self, name: str) -> Any:
        """A body that makes sense."""
        bodies: dict[str, Any] = {
            "router POST /admin/routes": self.table,
            "router POST /admin/routes/diff": self.table,
            "router POST /admin/route-plan": {"model": self.model},
            "router PUT /admin/channels/{channel_id}": self._channel,
            "router PUT /admin/models/{model_id}": {**self._model, "mode": "chat"},
        }
        return bodies.get(name)


@dataclass
class World:
    """An account with a project, a key, a user, money, a payment and its case."""

    root: Root
    account_id: str = field(init=False)
    project_id: str = field(init=False)
    key_id: str = field(init=False)
    api_key: str = field(init=False)
    user: Person = field(init=False)
    payment_id: str = field(init=False)
    case_id: str = field(init=False)
    alert_id: str = field(init=False)
    silence_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.account_id = self.root.post("edge", "/admin/accounts", {"name": "matrix"})["account_id"]
        body = {"account_id": self.account_id, "name": "matrix"}
        self.project_id = self.root.post("edge", "/admin/projects", body)["project_id"]
        made = self.new_key()
        self.key_id, self.api_key = made["key_id"], made["api_key"]
        self.user = person(self.root, "member", self.account_id)
        self.payment_id = uuid4().hex
        self.root.post("settlement", "/admin/topups", self.payment(self.payment_id))
        self.case_id = self.root.post("settlement", "/admin/chargebacks", self.dispute())["case_id"]
        self.alert_id, self.silence_id = self.new_alert(), self.new_silence()

    def new_key(self) -> dict[str, Any]:
        """Another key, with its secret."""
        made: dict[str, Any] = self.root.post("edge", "/admin/keys", {"project_id": self.project_id, "name": "matrix"})
        return made

    def new_alert(self) -> str:
        """Another alert, which asks whether to freeze a key that is not there."""
        subject, now = f"matrix-{uuid4().hex}", datetime.now(UTC)
        window = {"window_start": (now - timedelta(minutes=1)).isoformat(), "window_end": now.isoformat()}
        about = {
            "rule": "matrix",
            "signal": "matrix",
            "subject_kind": "key",
            "subject_id": subject,
            "account_id": self.account_id,
        }
        seen = {"exceeded": True, "calm": False, "observed": 2, "threshold": 1, "unit": "x", "action": "ask"}
        self.root.judge({**about, **seen, **window, "account_id": self.account_id})
        (alert,) = self.root.get("analytics", f"/admin/alerts?subject_id={subject}")["data"]
        return str(alert["alert_id"])

    def new_silence(self) -> str:
        """Another silence, of nothing that there is."""
        return str(self.root.post("analytics", "/admin/silences", self.silence())["silence_id"])

    def silence(self) -> dict[str, Any]:
        """The body of a silence."""
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        return {"account_id": self.account_id, "rule": f"matrix-{uuid4().hex}", "until": until, "reason": "matrix"}

    def payment(self, payment_id: str) -> dict[str, Any]:
        """The body of a top-up."""
        paid = {"bucket": "credit", "amount": "100", "provider": "matrix", "payment_id": payment_id}
        return {"account_id": self.account_id, **paid}

    def dispute(self) -> dict[str, Any]:
        """The body of a chargeback of a little of the payment."""
        taken = {"provider": "matrix", "payment_id": self.payment_id, "dispute_id": uuid4().hex, "amount": "0.001"}
        return {**taken, "reason": "matrix"}

    def places(self, name: str, *, fresh: bool) -> dict[str, str]:
        """What stands in the path; `fresh`: something that may be ended by the call."""
        path = name.split()[2]
        known = {
            "account_id": self.account_id,
            "month": MONTH,
            "version": "1",
            "case_id": self.case_id,
            "topic": "tollbook.attempts.v1",
            "partition": "0",
            "offset": "999999999",
            "audit_id": NOWHERE,
            "request_id": NOWHERE,
            "run_id": "run_of_nobody",
            "channel_id": Routes.channel,
            "model_id": Routes.model,
            "name": "receiver-of-nobody",
        }
        if "/alerts/" in path:
            acting = fresh and name.split()[1] == "POST"
            return known | {"alert_id": self.new_alert() if acting else self.alert_id}
        if "/silences/" in path:
            return known | {"silence_id": self.new_silence() if fresh else self.silence_id}
        if "/accounts/" in path:
            return known | {"entity_id": self.account_id}
        if "/projects/" in path:
            return known | {"entity_id": self.project_id}
        if "/keys/" in path:
            return known | {"entity_id": self.new_key()["key_id"] if fresh else self.key_id}
        user = (
            person(self.root, "member", self.account_id) if fresh and ("/users/" in path or "/grants/" in path) else self.user
        )
        return known | {"entity_id": str(user.grant_id) if "/grants/" in path else user.user_id, "token_id": user.token_id}

    def body(self, name: str) -> Any:
        """A body that makes sense: were the call not refused, it would change something."""
        account, reason, key = {"account_id": self.account_id}, {"reason": "matrix"}, {"key": uuid4().hex}
        credit = {"bucket": "credit", "amount": "0.001"}
        role = {"role": "member", "account_id": self.account_id}
        later = (datetime.now(UTC) + timedelta(days=9)).isoformat()
        bodies: dict[str, Any] = {
            "edge POST /admin/accounts": {"name": "made by the matrix"},
            "edge PATCH /admin/accounts/{entity_id}": {"name": f"renamed {key['key']}"},
            "edge PATCH /admin/projects/{entity_id}": {"name": f"renamed {key['key']}"},
            "edge PATCH /admin/keys/{entity_id}": {"name": f"renamed {key['key']}"},
            "edge PATCH /admin/users/{entity_id}": {"name": f"renamed {key['key']}"},
            "edge POST /admin/accounts/{entity_id}/policy": {"policy": {"max_attempts": 3}},
            "edge POST /admin/projects/{entity_id}/policy": {"policy": {"max_attempts": 3}},
            "edge POST /admin/keys/{entity_id}/policy": {"policy": {"max_attempts": 3}},
            "edge POST /admin/projects": {**account, "name": "made by the matrix"},
            "edge POST /admin/keys": {"project_id": self.project_id, "name": "made by the matrix"},
            "edge POST /admin/users": {"name": "made by the matrix", "grants": [role]},
            "edge POST /admin/users/{entity_id}/grants": {**role, "role": "billing"},
            "edge POST /admin/users/{entity_id}/tokens": {"name": "made by the matrix"},
            "edge POST /admin/me/tokens": {"name": "made by the matrix"},
            "edge POST /admin/route-plans": {"key_id": self.key_id, "model": "gpt-4o"},
            "analytics POST /admin/alerts/{alert_id}/silence": {"until": later, **reason},
            "analytics POST /admin/silences": self.silence(),
            "settlement POST /admin/topups": self.payment(uuid4().hex),
            "settlement POST /admin/limits": {
                **account, "kind": "bucket", "id": "credit", "currency": "USD", "window": "month", "limit": "1000",
            },
            "settlement POST /admin/cost-centres": {**account, "bucket": "wallet", "limit": "5"},
            "settlement POST /admin/refunds": {**account, **reason, **key, "request_id": str(uuid4())},
            "settlement POST /admin/adjustments": {**account, **reason, **key, **credit},
            "settlement POST /admin/promotions": {**account, **reason, **key, **credit, "expires_at": later},
            "settlement POST /admin/chargebacks": self.dispute(),
            "settlement POST /admin/reinstatements": {**reason, "provider": "matrix", "dispute_id": uuid4().hex},
            "settlement POST /admin/price-books/{version}/withdraw": reason,
            "settlement POST /admin/fx-rates": {
                "rates": [{"from": "XTS", "to": "XXX", "date": "2026-01-01", "rate": "1.5", "source": "matrix"}],
            },
            "settlement POST /admin/cases/{case_id}/assign": {"owner": key["key"]},
            "settlement POST /admin/cases/{case_id}/close": {"resolution": "seen by the matrix"},
            "settlement POST /admin/dead-letters/redrive": {"limit": 1},
            "settlement POST /admin/ledger/checks": {"quick": True},
            "analytics PUT /admin/alert-rules": RULES,
            "analytics POST /admin/alert-rules/diff": RULES,
            "analytics POST /admin/alert-rules/backtest": RULES,
        }  # fmt: skip
        return bodies.get(name)


def queries(account_id: str) -> dict[str, str]:
    """A value for every parameter that a call cannot do without."""
    now = datetime.now(UTC)
    since, until = (now - timedelta(minutes=1)).isoformat(), now.isoformat()
    today, instants = until[:10], {"since": since, "until": until}
    return {"account_id": account_id, "bucket": "credit", "from": today, "to": today, "before": "1", "after": "1", **instants}


def people(root: Root, account_id: str) -> dict[str, Person]:
    """A user of every role, those of an account in this one."""
    found = {role: person(root, role, None if role in {"operator", "on-call"} else account_id) for role in ROLES.values()}
    return found | {"nobody": person(root, None, None)}
