"""The meter's three endpoints for operators, served by Faust's own web server."""

from typing import Any

from prometheus_client import generate_latest


def add_pages(app: Any) -> None:
    """`/healthz` while it runs, `/readyz` once it has its partition and its windows are restored, `/metrics` for Prometheus."""

    @app.page("/healthz")  # type: ignore[untyped-decorator]
    async def healthz(web: Any, _request: Any) -> Any:
        return web.json({"ok": True})

    @app.page("/readyz")  # type: ignore[untyped-decorator]
    async def readyz(web: Any, _request: Any) -> Any:
        if app.rebalancing or not app.assignor.assigned_actives():
            return web.json({"ready": False, "reason": "the samples' partition is not assigned yet"}, status=503)
        return web.json({"ready": True})

    @app.page("/metrics")  # type: ignore[untyped-decorator]
    async def metrics(web: Any, _request: Any) -> Any:
        return web.bytes(generate_latest(), content_type="text/plain")
