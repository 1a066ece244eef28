"""Settlement's side of runs and estimates as its contract says, as far as edge can tell: it keeps runs and counts no money."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.envelope import new_id
from schemas.runs import RUN_PREFIX, EstimateAsk, RunClosing, RunExtension, RunOpening

BASE = "/internal/accounts/{account}"
NOTHING_LEFT = {
    "message": "the bucket credit cannot set this budget aside: 9.00 USD needed, 1.00 USD left",
    "type": "insufficient_quota",
    "param": "budget",
    "code": "insufficient_balance",
    "envelope": {"kind": "bucket", "id": "credit", "window": None},
    "needed": "9.00",
    "left": "1.00",
    "currency": "USD",
}
"""What settlement says to a budget whose label is "too much"."""


@dataclass
class ScriptedRuns:
    """Runs by account and id, and what was asked."""

    runs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    openings: list[RunOpening] = field(default_factory=list)
    extensions: list[RunExtension] = field(default_factory=list)
    closings: list[RunClosing] = field(default_factory=list)
    estimates: list[EstimateAsk] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    lookups: int = 0
    away: bool = False

    def routes(self) -> list[Route]:
        """The endpoints of the contract."""
        return [
            Route(f"{BASE}/runs", self.opened, methods=["POST"]),
            Route(f"{BASE}/runs", self.listed),
            Route(f"{BASE}/runs/{{run}}", self.shown),
            Route(f"{BASE}/runs/{{run}}/membership", self.membership),
            Route(f"{BASE}/runs/{{run}}/extend", self.extended, methods=["POST"]),
            Route(f"{BASE}/runs/{{run}}/close", self.closed, methods=["POST"]),
            Route(f"{BASE}/estimate", self.estimated, methods=["POST"]),
        ]

    async def opened(self, request: Request) -> Response:
        """A new run, or the one that this idempotency key has opened."""
        asked = RunOpening.model_validate_json(await request.body())
        self.openings.append(asked)
        if asked.label == "too much":
            return JSONResponse({"error": NOTHING_LEFT}, 402)
        account = request.path_params["account"]
        for (owner, _), run in self.runs.items():
            if owner == account and asked.idempotency_key and run["idempotency_key"] == asked.idempotency_key:
                return JSONResponse(run)
        run = described(account, asked)
        self.runs[account, run["id"]] = run
        return JSONResponse(run, 201)

    async def listed(self, request: Request) -> Response:
        """Every run of the account."""
        self.queries.append(dict(request.query_params))
        found = [run for (owner, _), run in self.runs.items() if owner == request.path_params["account"]]
        return JSONResponse({"data": found[::-1], "next_after": None})

    async def shown(self, request: Request) -> Response:
        """A run with an account of nothing yet."""
        self.queries.append(dict(request.query_params))
        run = self._find(request)
        if run is None:
            return missing(request)
        totals = {"requests": 0, "attempts": 0, "tokens": {}, "by_model": [], "by_route": [], "by_bucket": []}
        timeline = {"data": [{"at": run["opened_at"], "kind": "opened"}], "next_after": None}
        said = {
            "totals": totals,
            "failures": {"attempts": 0},
            "timeline": timeline,
            "explanation": ["No request has joined it."],
        }
        return JSONResponse(run | said)

    async def membership(self, request: Request) -> Response:
        """Whose it is and what it allows."""
        self.lookups += 1
        if self.away:
            return JSONResponse({"error": {"message": "away", "code": "store_unavailable"}}, 503)
        run = self._find(request)
        if run is None:
            return missing(request)
        ids = {"run_id": run["id"], "project_id": run["project_id"], "key_id": run["key_id"]}
        return JSONResponse({**ids, "buckets": [each["bucket"] for each in run["budgets"]], "rules": run["rules"]})

    async def extended(self, request: Request) -> Response:
        """The run as it is; a closed one refuses."""
        self.extensions.append(RunExtension.model_validate_json(await request.body()))
        run = self._find(request)
        if run is None:
            return missing(request)
        if run["state"] != "open":
            error = {"message": "the run is closed: open another one", "type": "invalid_request_error", "code": "run_closed"}
            return JSONResponse({"error": error}, 409)
        return JSONResponse(run)

    async def closed(self, request: Request) -> Response:
        """The run, closed."""
        self.closings.append(RunClosing.model_validate_json(await request.body()))
        run = self._find(request)
        if run is None:
            return missing(request)
        run |= {"state": "closed", "close_reason": "closed_by_client"}
        return JSONResponse(run)

    async def estimated(self, request: Request) -> Response:
        """No figures: what was asked is kept."""
        self.estimates.append(EstimateAsk.model_validate_json(await request.body()))
        return JSONResponse({"object": "estimate", "routes": [], "explanation": []})

    def _find(self, request: Request) -> dict[str, Any] | None:
        return self.runs.get((request.path_params["account"], request.path_params["run"]))


def described(account: str, asked: RunOpening) -> dict[str, Any]:
    """A new run."""
    budgets = [
        {"bucket": bucket, "currency": "USD", "budget": amount, "spent": "0.00", "held": "0.00", "left": amount}
        for bucket, amount in asked.budget.items()
    ]
    return {
        "object": "run",
        "id": f"{RUN_PREFIX}{new_id().hex}",
        "state": "open",
        "close_reason": None,
        "label": asked.label,
        "account_id": account,
        "project_id": asked.key.project_id,
        "key_id": asked.key.key_id,
        "key_name": asked.key.key_name,
        "environment": asked.environment,
        "tags": asked.tags,
        "reserve": asked.reserve,
        "rules": asked.rules.model_dump(),
        "opened_at": "2026-03-14T09:26:53Z",
        "deadline_at": asked.deadline_at.isoformat(),
        "idempotency_key": asked.idempotency_key,
        "budgets": budgets,
    }


def missing(request: Request) -> Response:
    """No run of that id."""
    message = f"there is no run {request.path_params['run']}"
    error = {"message": message, "type": "invalid_request_error", "param": "run_id", "code": "run_not_found"}
    return JSONResponse({"error": error}, 404)
