"""``create_app(house)``: the whole HTTP side."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from controller.api import idempotency, problems
from controller.api.auth import Keys
from controller.api.gate import Gate
from controller.api.here import KEY_HEADER, SCOPE_MARK, Rooms, scope_of
from controller.api.house import House
from controller.api.metrics import Metrics
from controller.api.noting import Noter
from controller.api.rates import Rates
from controller.api.routers import ROUTERS
from controller.api.routes.callbacks import NewCallback
from controller.api.routes.health import Pulse
from controller.api.routes.oauth import TokenForm
from controller.api.status import StatusHosts
from controller.api.straight import Handler, Straight, straight_routes
from controller.store.errors import KeyTaken

ABOUT = """Callbacks, calls, recordings and their events on your own Asterisk or FreeSWITCH.

Numbers are E.164 with `+`, times RFC 3339 in UTC, durations in seconds with the unit in the name. Every error is
`application/problem+json` with a stable `code`. A POST may carry an `Idempotency-Key`."""


def scopes_of_routes() -> dict[tuple[str, str], str | None]:
    """The scope that each path and method asks for."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {(route.path, method.lower()): scope_of(route) for route in routes for method in route.methods or ()}


class Api(FastAPI):
    """FastAPI with our description of the interface, and a short way to the routes that are asked most."""

    short: tuple[Straight, Gate] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection."""
        if self.short is not None and self.short[0].takes(scope):
            scope["app"] = self
            await self.short[1](scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """OpenAPI 3.1, made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            parts = described.setdefault("components", {})
            parts["securitySchemes"] = SCHEMES
            for model in (problems.ProblemOut, NewCallback, TokenForm):
                _add(parts["schemas"], model)
            scopes = scopes_of_routes()
            for path, operations in described["paths"].items():
                for method, operation in operations.items():
                    _tidy(path, operation, scopes[path, method])
                    operation["summary"] = first_sentence(operation["description"])
        return self.openapi_schema or {}


def first_sentence(text: str) -> str:
    """What a list of operations shows: the first sentence of a description."""
    return re.split(r"(?<=[.?!])\s", text.strip(), maxsplit=1)[0].replace("\n", " ").rstrip(".")


def _add(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    """A model that no route's signature names."""
    described = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described.pop("$defs", {}))
    schemas[model.__name__] = described


SCHEMES = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key, `pb_...`, or an access token, `pba_...`."},
    "client": {"type": "http", "scheme": "basic", "description": "A key's id, `key_...`, and the key."},
}

KEY_PARAMETER = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Makes a repeat safe: within 24 h the same key and body get the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


TOO_MANY = problems.documented("rate_limited")[429]


def _tidy(path: str, operation: dict[str, Any], scope: str | None) -> None:
    """Our errors instead of the framework's, the key where one is needed, and its scope."""
    if path.startswith("/v1/") and "security" not in operation:
        operation["security"] = [{"apiKey": [scope] if scope else []}]
        operation["responses"].setdefault("429", TOO_MANY)
    operation.pop(SCOPE_MARK, None)
    if "idempotency_conflict" in operation["responses"].get("422", {}).get("description", ""):
        operation.setdefault("parameters", []).append(KEY_PARAMETER)
    found = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in found:
        del operation["responses"]["422"]


HANDLERS: dict[type[Exception], Handler] = {
    HTTPException: idempotency.or_first_answer,
    RequestValidationError: problems.on_invalid,
    KeyTaken: idempotency.on_key_taken,
}
"""What answers an error that an endpoint raises."""


def bare_app() -> Api:
    """The routes without a house: enough to describe the interface."""
    app = Api(
        title="Patchbay",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    return app


def create_app(house: House) -> FastAPI:
    """The app over these rooms."""
    app = bare_app()
    access = house.settings.access
    keys = Keys(house.database, house.clock, access)
    rates = Rates(house.clock, access.requests_per_second, access.burst_s)
    metrics = Metrics(house.measures)
    app.state.rooms = Rooms(house, keys, set(), rates, StatusHosts(house))
    app.state.metrics, app.state.pulse = metrics, Pulse(house)
    noter = Noter(house.journal, house.clock)
    app.add_middleware(Gate, keys=keys, rates=rates, metrics=metrics, noter=noter)
    for kind, handle in HANDLERS.items():
        app.add_exception_handler(kind, handle)
    straight = Straight(straight_routes(), HANDLERS)
    app.short = straight, Gate(straight, keys, rates, metrics, noter)
    return app
