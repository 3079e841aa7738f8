"""The short way in: a route that takes the request alone, at a path of its own, is answered without the framework's layers.

They do nothing for such a route, and cost as much as all that it does itself (docs/why/performance.md)."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.api.requests import JsonRequest, Route
from controller.api.routers import ROUTERS

Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]
Way = tuple[str, str]
"""Method and path."""


def straight_routes() -> Mapping[Way, Route]:
    """Those that can be answered so."""
    found = [route for router in ROUTERS for route in router.routes if isinstance(route, Route) and route.is_plain]
    return {(method, route.path): route for route in found if "{" not in route.path for method in route.methods or ()}


class Straight:
    """Answers these routes as the app would.  ``handlers``: what answers an error of a type, the first that fits."""

    def __init__(self, routes: Mapping[Way, Route], handlers: Mapping[type[Exception], Handler]) -> None:
        self._routes, self._handlers = routes, dict(handlers)

    def takes(self, scope: Scope) -> bool:
        """Whether this connection is such a request."""
        return scope["type"] == "http" and (scope["method"], scope["path"]) in self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it."""
        route = scope["route"] = self._routes[scope["method"], scope["path"]]
        request = JsonRequest(scope, receive)
        try:
            response: Response = await route.endpoint(request)
        except tuple(self._handlers) as error:
            handle = next(handle for kind, handle in self._handlers.items() if isinstance(error, kind))
            response = await handle(request, error)
        await response(scope, receive, send)
