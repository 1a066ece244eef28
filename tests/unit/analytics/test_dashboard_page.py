"""What the browser is told about the dashboard's page: what it may run, where it may speak, who may frame it."""

import httpx
from fastapi import FastAPI

from services.analytics.dashboard_api import add_page

NOTHING = ("default-src", "base-uri", "form-action", "frame-ancestors", "object-src")


async def test_the_page_runs_its_own_scripts_alone_and_speaks_to_its_own_origin_alone() -> None:
    app = FastAPI()
    add_page(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://analytics") as client:
        page = await client.get("/dashboard")
        policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
        assert {policy[what] for what in NOTHING} == {"'none'"}
        assert {policy[what] for what in ("script-src", "connect-src", "style-src")} == {"'self'"}
        assert (page.headers["referrer-policy"], page.headers["x-frame-options"]) == ("no-referrer", "DENY")
        assert "<script>" not in page.text
        assert " style=" not in page.text
        script = await client.get("/dashboard/static/js/main.js")
        assert (script.status_code, script.headers["x-content-type-options"]) == (200, "nosniff")
        again = await client.get("/dashboard/static/js/main.js", headers={"if-none-match": script.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
