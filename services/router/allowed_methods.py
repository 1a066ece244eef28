"""Which methods a path takes, over all of its routes: what the `Allow` header of a 405 has to say."""

from starlette.requests import Request
from starlette.routing import Match, Route


def allowed_methods(request: Request) -> list[str]:
    """The methods, sorted."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)
