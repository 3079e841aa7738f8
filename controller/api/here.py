"""What a route is given: who asks, and the rooms of the house.  One dependency, because each costs a request 20 us."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request

from controller.api.auth import SCOPES, Keys, Who, allow
from controller.api.house import House
from controller.api.idempotency import Once, once_of
from controller.api.problems import Problem
from controller.api.rates import Rates
from controller.api.status import StatusHosts


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all requests share.  ``in_flight``: requests with an Idempotency-Key that are being handled here."""

    house: House
    keys: Keys
    in_flight: set[tuple[str, str]]
    rates: Rates
    status: StatusHosts


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.  ``once``: its Idempotency-Key, None without one."""

    who: Who
    rooms: Rooms
    once: Once | None = None

    @property
    def house(self) -> House:
        """The house."""
        return self.rooms.house

    @property
    def tenant(self) -> str:
        """Whose key it is."""
        return self.who.tenant


def asked(request: Request, scope: str) -> Asked:
    """The request, whose key must allow ``scope``.  Raises Problem."""
    return Asked(allow(request.scope["who"], scope), request.app.state.rooms)


async def asked_once(request: Request, scope: str) -> Asked:
    """The same for a request that makes something and may carry an Idempotency-Key.  Raises Problem."""
    who, rooms = allow(request.scope["who"], scope), request.app.state.rooms
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return Asked(who, rooms)
    if not _KEY.fullmatch(key):
        raise Problem("invalid_request", "1 to 255 visible ASCII characters", KEY_HEADER)
    return Asked(who, rooms, await once_of(request, who.tenant, key, rooms.house, rooms.in_flight))


def asks(scope: str) -> Any:
    """A route's parameter that is ``asked``."""
    assert scope in SCOPES, scope

    async def check(request: Request) -> Asked:
        return asked(request, scope)

    return Depends(_marked(check, scope))


def asks_once(scope: str) -> Any:
    """A route's parameter that is ``asked_once``."""
    assert scope in SCOPES, scope

    async def check(request: Request) -> Asked:
        return await asked_once(request, scope)

    return Depends(_marked(check, scope))


def _marked(check: Any, scope: str) -> Any:
    """With its scope on it, for the description of the interface."""
    check.scope = scope
    return check


def needs(scope: str) -> dict[str, Any]:
    """``openapi_extra`` of a route that asks for its scope itself."""
    assert scope in SCOPES, scope
    return {SCOPE_MARK: scope}


def scope_of(route: APIRoute) -> str | None:
    """The scope that a route asks for, None for one that asks for none."""
    for dependency in route.dependant.dependencies:
        if (found := getattr(dependency.call, "scope", None)) is not None:
            return str(found)
    found = (route.openapi_extra or {}).get(SCOPE_MARK)
    return None if found is None else str(found)


SCOPE_MARK = "x-scope"
KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

ReadCallbacks = Annotated[Asked, asks("callbacks:read")]
WriteCallbacks = Annotated[Asked, asks("callbacks:write")]
ReadCalls = Annotated[Asked, asks("calls:read")]
ActOnCalls = Annotated[Asked, asks_once("calls:write")]
ReadCdrs = Annotated[Asked, asks("cdrs:read")]
ReadRecordings = Annotated[Asked, asks("recordings:read")]
WriteRecordings = Annotated[Asked, asks("recordings:write")]
ReadWebhooks = Annotated[Asked, asks("webhooks:read")]
WriteWebhooks = Annotated[Asked, asks("webhooks:write")]
NewWebhooks = Annotated[Asked, asks_once("webhooks:write")]
ReadNumbers = Annotated[Asked, asks("numbers:read")]
WriteNumbers = Annotated[Asked, asks("numbers:write")]
NewNumbers = Annotated[Asked, asks_once("numbers:write")]
ReadBindings = Annotated[Asked, asks("bindings:read")]
WriteBindings = Annotated[Asked, asks("bindings:write")]
NewBindings = Annotated[Asked, asks_once("bindings:write")]
ReadAgents = Annotated[Asked, asks("agents:read")]
WriteAgents = Annotated[Asked, asks("agents:write")]
NewAgents = Annotated[Asked, asks_once("agents:write")]
ReadLists = Annotated[Asked, asks("lists:read")]
WriteLists = Annotated[Asked, asks("lists:write")]
NewLists = Annotated[Asked, asks_once("lists:write")]
ReadPolicy = Annotated[Asked, asks("policy:read")]
WritePolicy = Annotated[Asked, asks("policy:write")]
ReadFlows = Annotated[Asked, asks("flows:read")]
ReadKeys = Annotated[Asked, asks("keys:read")]
WriteKeys = Annotated[Asked, asks("keys:write")]
NewKeys = Annotated[Asked, asks_once("keys:write")]
ReadLive = Annotated[Asked, asks("live:read")]
ReadAudit = Annotated[Asked, asks("audit:read")]
Operator = Annotated[Asked, asks("operator")]
NewByOperator = Annotated[Asked, asks_once("operator")]
