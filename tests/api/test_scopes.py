"""OP5: every route asks for a scope, and lets nobody in who has all but that one."""

import re

import pytest
from fastapi.routing import APIRoute

from controller.api.app import bare_app, scopes_of_routes
from controller.api.auth import SCOPES
from controller.api.routers import ROUTERS
from tests.house import Standing

OWN_CREDENTIALS = {("/v1/oauth/token", "post")}
"""They authenticate who asks by themselves."""


def asked_for() -> dict[tuple[str, str], str | None]:
    """Path and method of every route under /v1, with its scope."""
    return {route: scope for route, scope in scopes_of_routes().items() if route[0].startswith("/v1/")}


def test_no_route_is_without_a_scope() -> None:
    assert {route for route, scope in asked_for().items() if scope is None} == OWN_CREDENTIALS
    assert {scope for scope in asked_for().values() if scope} <= set(SCOPES)


def test_there_is_no_scope_that_nothing_asks_for() -> None:
    asked = {scope for scope in asked_for().values() if scope}
    readable = {scope.replace(":write", ":read") for scope in asked}
    assert set(SCOPES) - {"*"} <= asked | readable


def test_what_only_reads_asks_for_reading_only() -> None:
    for (path, method), scope in asked_for().items():
        if scope not in (None, "operator") and method in ("get", "head"):
            assert scope.endswith(":read"), (path, method)
        if scope not in (None, "operator") and method in ("put", "patch", "delete"):
            assert scope.endswith(":write"), (path, method)


def test_every_route_belongs_to_a_router_that_is_served() -> None:
    paths = {
        route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema
    }
    assert paths == set(bare_app().openapi()["paths"])


def without(scope: str) -> list[str]:
    """All scopes that do not allow this one."""
    if scope == "operator":
        return [other for other in SCOPES if other != "operator"]
    resource = scope.partition(":")[0]
    allowing = {scope, "*"} | ({f"{resource}:write"} if scope.endswith(":read") else set())
    return [other for other in SCOPES if other not in allowing]


@pytest.mark.asyncio(loop_scope="session")
async def test_all_other_scopes_together_open_no_route(shared: Standing) -> None:
    keys = {scope: await shared.key_for("main", *without(scope)) for scope in set(asked_for().values()) if scope}
    for (path, method), scope in asked_for().items():
        if scope is None:
            continue
        url = re.sub(r"\{[^}]+\}", "x", path)
        answer = await shared.http.request(
            method.upper(), url, headers=keys[scope], json={} if method not in ("get", "head") else None
        )
        assert answer.status_code == 403, (path, method, scope, answer.text)
        if method != "head":
            assert answer.json()["code"] == "forbidden"


@pytest.mark.asyncio(loop_scope="session")
async def test_the_scope_alone_opens_its_route(shared: Standing) -> None:
    for (path, method), scope in asked_for().items():
        if scope is None:
            continue
        url = re.sub(r"\{[^}]+\}", "x", path)
        key = await shared.key_for("main", scope)
        answer = await shared.http.request(method.upper(), url, headers=key, json={} if method not in ("get", "head") else None)
        assert answer.status_code not in (401, 403), (path, method, scope, answer.text)
