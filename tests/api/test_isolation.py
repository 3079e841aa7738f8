"""Another tenant's things are not there: every route with an id of somebody else's gives 404, every list leaves it out.

The routes are those of the OpenAPI description.  A new one fails here until there is something of its kind to ask for."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from controller.api.app import bare_app, scopes_of_routes
from tests.api.masking import bound, pool
from tests.api.test_last_agents import spoken
from tests.api.test_recordings import recorded
from tests.house import CALLEE, SHOWN, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")

Make = Callable[[Standing], Awaitable[str]]
Route = tuple[str, str]

OF_ALL = {"/v1/flows/{name}", "/v1/flows/{name}/check", "/v1/lists/{name}"}
OF_ALL |= {"/v1/queues/{queue_id}", "/v1/queues/{queue_id}/calls"}
"""What these name belongs to no tenant: flows are the installation's, each tenant has its list and its queue of each name."""
FIXED = {"/v1/lists/{name}/{entry_id}": {"name": "block"}}
"""Parameters that are no ids."""
BODIES: dict[str, dict[str, Any]] = {
    "/v1/calls/{call_id}/actions": {"action": "hangup"},
    "/v1/webhooks/{webhook_id}": {"state": "disabled"},
    "/v1/webhooks/{webhook_id}/replay": {},
    "/v1/numbers/{number_id}": {"state": "locked"},
    "/v1/pools/{pool_id}": {"unknown": "reject"},
    "/v1/bindings/{binding_id}": {"ttl_s": 60},
    "/v1/memories/{memory_id}": {"ttl_s": 60},
    "/v1/agents/{agent_id}": {"state": "on_duty"},
}
QUERIES = {"/v1/numbers/{number_id}/last-agent": "?customer=%2B14155550102"}
"""What a path needs beside its ids."""
OWN_LISTS = {"/v1/keys", "/v1/flows", "/v1/audit", "/v1/queues"}
"""Lists that are not empty for a tenant that has done nothing: its own key, all flows, its own refusals, its one queue."""


async def _call(house: Standing) -> str:
    call = await house.callback()
    await house.until(call["id"], status="bridged")
    return str(call["id"])


async def _memory(house: Standing) -> str:
    call = await house.callback(memory_ttl_s=3600)
    await house.until(call["id"], status="bridged")
    return await _first(house, "/v1/memories")


async def _posted(house: Standing, path: str, body: dict[str, Any]) -> str:
    answer = await house.http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _webhook(house: Standing) -> str:
    return await _posted(house, "/v1/webhooks", {"url": "http://127.0.0.1:9/"})


async def _number(house: Standing) -> str:
    """An X that remembers an agent for the callee."""
    path, _, _ = await spoken(house)
    return path.split("/")[3]


async def _first(house: Standing, path: str) -> str:
    return str((await house.http.get(path)).json()["items"][0]["id"])


async def _binding(house: Standing) -> str:
    await pool(house, "+14155550950", name="isolation")
    return str((await bound(house, x="+14155550950"))["id"])


POSSESSIONS: dict[str, Make] = {
    "call_id": _call,
    "callback_id": _call,
    "recording_id": recorded,
    "webhook_id": _webhook,
    "number_id": _number,
    "binding_id": _binding,
    "pool_id": lambda house: _first(house, "/v1/pools"),
    "entry_id": lambda house: _posted(house, "/v1/lists/block", {"number": "+14155550999"}),
    "memory_id": _memory,
    "agent_id": lambda house: _posted(house, "/v1/agents", {"name": "Ann", "number": "+14155550120"}),
    "key_id": lambda house: _first(house, "/v1/keys"),
}
"""How one of each kind is made; in this order."""


def described() -> dict[Route, dict[str, Any]]:
    """Method and path of every route of a tenant's, as the description has it."""
    scopes = scopes_of_routes()
    return {
        (method, path): operation
        for path, operations in bare_app().openapi()["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1/") and scopes[path, method] not in (None, "operator")
    }


def parameters(path: str) -> list[str]:
    """The ids in a path."""
    return [name for name in re.findall(r"{(\w+)}", path) if name not in FIXED.get(path, {})]


def naming() -> list[Route]:
    """The routes whose path names something of a tenant's."""
    return [(method, path) for method, path in described() if "{" in path and path not in OF_ALL]


async def possessions(house: Standing) -> dict[str, str]:
    """One of everything."""
    needed = {name for _, path in naming() for name in parameters(path)}
    unknown = needed - set(POSSESSIONS)
    assert not unknown, f"say in POSSESSIONS how one of these is made: {sorted(unknown)}"
    for name, make in POSSESSIONS.items():
        if name in needed and name not in _made:
            _made[name] = await make(house)
    return dict(_made)


_made: dict[str, str] = {}
"""What the house of this session has by now."""


def sent(method: str, path: str) -> dict[str, Any] | None:
    """A body that would do, if one is needed."""
    if "requestBody" not in described()[method, path]:
        return None
    assert path in BODIES, f"say in BODIES what {method} {path} takes"
    return BODIES[path]


async def test_every_route_with_another_tenants_id_gives_404(shared: Standing) -> None:
    stranger, theirs = await shared.key_for("stranger", "*"), await possessions(shared)
    assert len(naming()) >= 20
    for method, path in naming():
        url = path.format(**theirs, **FIXED.get(path, {})) + QUERIES.get(path, "")
        answer = await shared.http.request(method.upper(), url, headers=stranger, json=sent(method, path))
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["code"].endswith("not_found"), (method, path)
    for method, path in naming():  # they are there for their owner, and as they were
        if method == "get":
            answer = await shared.http.get(path.format(**theirs, **FIXED.get(path, {})) + QUERIES.get(path, ""))
            assert answer.status_code == 200, (path, answer.text)
    assert (await shared.http.get(f"/v1/calls/{theirs['call_id']}")).json()["status"] == "bridged"
    assert (await shared.http.get(f"/v1/webhooks/{theirs['webhook_id']}")).json()["state"] == "active"


async def test_no_list_shows_another_tenants(shared: Standing) -> None:
    stranger, theirs = await shared.key_for("loner", "*"), await possessions(shared)
    lists = [path for method, path in described() if method == "get" and "{" not in path] + ["/v1/lists/block"]
    known = {path for path in described() if path[0] == "get"}
    for path in lists:
        if path == "/v1/lists/block" and ("get", "/v1/lists/{name}") not in known:
            continue
        query = {"from": SHOWN, "to": CALLEE} if path == "/v1/policy/explain" else {}
        answer = await shared.http.get(path, headers=stranger, params=query)
        assert answer.status_code == 200, (path, answer.text)
        assert not [name for name in theirs.values() if name in answer.text], path
        items = answer.json().get("items") if answer.headers["content-type"] == "application/json" else None
        if path not in OWN_LISTS:
            assert not items, path
    mine = (await shared.http.get("/v1/keys", headers=stranger)).json()["items"]
    assert {key["tenant"] for key in mine} == {"loner"}


async def test_an_id_inside_a_request_is_looked_for_in_ones_own_too(shared: Standing) -> None:
    stranger = await shared.key_for("envious", "*")
    theirs = await possessions(shared)
    hook = await shared.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=stranger)
    own = hook.json()["id"]
    answer = await shared.http.post(f"/v1/webhooks/{own}/replay", json={"call_id": theirs["call_id"]}, headers=stranger)
    assert (answer.status_code, answer.json()["param"]) == (404, "call_id")
    for method, path, body in (
        ("GET", "/v1/keys?tenant=main", None),
        ("GET", f"/v1/keys/{theirs['key_id']}?tenant=main", None),
        ("DELETE", f"/v1/keys/{theirs['key_id']}?tenant=main", None),
        ("POST", "/v1/keys", {"name": "n", "scopes": ["*"], "tenant": "main"}),
    ):
        answer = await shared.http.request(method, path, headers=stranger, json=body)
        assert (answer.status_code, answer.json()["param"]) == (403, "tenant"), path
    after = await shared.http.get("/v1/calls", params={"after": theirs["call_id"]}, headers=stranger)
    assert after.json()["items"] == []


async def test_what_is_the_operators_is_no_tenants(shared: Standing) -> None:
    stranger = await shared.key_for("curious", "*")
    for (path, method), scope in scopes_of_routes().items():
        if scope == "operator":
            url = re.sub(r"\{[^}]+\}", "main", path)
            answer = await shared.http.request(method.upper(), url, headers=stranger, json={} if method != "get" else None)
            assert answer.status_code == 403, (method, path)


async def test_the_live_socket_tells_of_ones_own_calls_only(shared: Standing) -> None:
    stranger = await shared.key_for("listener", "*")
    async with connect(f"ws{shared.base.removeprefix('http')}/v1/live", additional_headers=stranger) as theirs:
        async with connect(
            f"ws{shared.base.removeprefix('http')}/v1/live", additional_headers={"Authorization": f"Bearer {shared.key}"}
        ) as ours:
            call = await shared.callback()
            await shared.until(call["id"], status="bridged")
            seen = [json.loads(await ours.recv())["call_id"]]
            assert call["id"] in seen
        with pytest.raises(TimeoutError):
            await _within(theirs, 0.3)


async def _within(socket: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await socket.recv()
