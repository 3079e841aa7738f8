"""OP5: every read that takes a tenant answers nothing for another's rows, and no change touches them."""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from controller.core import ids
from controller.core.agent import Agent
from controller.core.masking import Guards, Try
from controller.core.policy_state import ListEntry
from controller.ports import StoredRecording
from controller.store.database import Database
from controller.store.rows import Endpoint, Page
from tests.core.story import T0
from tests.store.calls import OTHER, TENANT, call_id, story
from tests.store.masking import NOW, X1, X2, A, add, bind, binding, pool
from tests.store.test_memories import remember

RECORDING = call_id(1) + "0003"
MEMORY = ids.leg_id(call_id(2), 2)
BINDING = f"{1:026d}"
Ask = Callable[[Database, str], Coroutine[Any, Any, Any]]

ASKS: dict[str, Ask] = {
    "calls.find": lambda db, tenant: db.calls.find(tenant, call_id(1)),
    "calls.list": lambda db, tenant: db.calls.list(tenant),
    "calls.facts": lambda db, tenant: db.calls.facts(tenant, call_id(1)),
    "recordings.get": lambda db, tenant: db.recordings.get(tenant, RECORDING),
    "recordings.list": lambda db, tenant: db.recordings.list(tenant),
    "recordings.delete": lambda db, tenant: db.recordings.delete(tenant, RECORDING),
    "endpoints.get": lambda db, tenant: db.endpoints.get(tenant, "e1"),
    "endpoints.list": lambda db, tenant: db.endpoints.list(tenant),
    "endpoints.change": lambda db, tenant: db.endpoints.change(tenant, "e1", url="https://example.org"),
    "endpoints.delete": lambda db, tenant: db.endpoints.delete(tenant, "e1"),
    "webhooks.deliveries": lambda db, tenant: db.webhooks.deliveries(tenant, "e1"),
    "keys.list": lambda db, tenant: db.keys.list(tenant),
    "keys.revoke": lambda db, tenant: db.keys.revoke(tenant, "k1", 5),
    "numbers.list": lambda db, tenant: db.numbers.list(tenant),
    "numbers.owned": lambda db, tenant: db.numbers.owned(tenant),
    "numbers.remove": lambda db, tenant: db.numbers.remove(tenant, "n1"),
    "idempotency.get": lambda db, tenant: db.idempotency.get(tenant, "key"),
    "audit.list": lambda db, tenant: db.audit.list(tenant),
    "keys.get": lambda db, tenant: db.keys.get(tenant, "k1"),
    "tenants.signing": lambda db, tenant: db.tenants.signing(tenant),
    "memories.list": lambda db, tenant: db.memories.list(tenant, T0),
    "memories.find": lambda db, tenant: db.memories.find(tenant, MEMORY, T0),
    "memories.change": lambda db, tenant: db.memories.change(tenant, MEMORY, T0, {"forward_to": A}),
    "memories.forget": lambda db, tenant: db.memories.forget(tenant, MEMORY),
    "agents.list": lambda db, tenant: db.agents.list(tenant),
    "agents.find": lambda db, tenant: db.agents.find(tenant, "g1"),
    "agents.change": lambda db, tenant: db.agents.change(tenant, "g1", 5, {"name": "Other"}),
    "agents.of_number": lambda db, tenant: db.agents.of_number(tenant, "+14155550120"),
    "agents.on_duty": lambda db, tenant: db.agents.on_duty(tenant),
    "agents.claim": lambda db, tenant: db.agents.claim(tenant, call_id(9), "g1", 5),
    "agents.remove": lambda db, tenant: db.agents.remove(tenant, "g1", 5),
    "policies.list": lambda db, tenant: db.policies.list(tenant, "block"),
    "policies.find": lambda db, tenant: db.policies.find(tenant, "block", "l1"),
    "policies.remove": lambda db, tenant: db.policies.remove(tenant, "block", "l1"),
    "pools.list": lambda db, tenant: db.pools.list(tenant),
    "pools.get": lambda db, tenant: db.pools.get(tenant, "p1"),
    "pools.change": lambda db, tenant: db.pools.change(tenant, "p1", unknown="announce"),
    "pools.remove": lambda db, tenant: db.pools.remove(tenant, "p2"),
    "x_numbers.list": lambda db, tenant: db.x_numbers.list(tenant),
    "x_numbers.get": lambda db, tenant: db.x_numbers.get(tenant, X2.strip("+")),
    "x_numbers.change": lambda db, tenant: db.x_numbers.change(tenant, X2.strip("+"), 0, state="locked"),
    "x_numbers.remove": lambda db, tenant: db.x_numbers.remove(tenant, X2.strip("+"), NOW),
    "bindings.list": lambda db, tenant: db.bindings.list(tenant),
    "bindings.get": lambda db, tenant: db.bindings.get(tenant, BINDING),
    "bindings.change": lambda db, tenant: db.bindings.change(tenant, BINDING, NOW, lambda one: replace(one, ttl_ms=5000)),
    "bindings.facts": lambda db, tenant: db.bindings.facts(tenant, BINDING),
    "routes.earlier": lambda db, tenant: db.routes.earlier(tenant, A, X1, NOW, NOW + 1),
    "routes.of_party": lambda db, tenant: db.routes.of_party(tenant, A, NOW),
    "last_agents.forgotten": lambda db, tenant: db.last_agents.forgotten(tenant, X1, A),
    "wrong_keys.locked": lambda db, tenant: db.wrong_keys.locked(tenant, X1, A, NOW, Guards(per_caller=1)),
    "bindings.release": lambda db, tenant: db.bindings.release(tenant, BINDING, NOW),
}
NOT_ASKED = {
    "keys.add", "numbers.add", "idempotency.begin", "idempotency.finish", "idempotency.drop", "tenants.rotate_signing",
    "policies.add", "policies.change", "policies.kept", "policies.stop", "last_agents.forget",
}  # fmt: skip
"""They add or change what their own tenant has, and are looked at below or in their own tests."""


@pytest.fixture
async def full(db: Database) -> Database:
    """One tenant with one of everything, and another with nothing."""
    await db.tenants.add(OTHER, "Other", 1)
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "secret", ("*",), 1))
    for unit in story(1):
        await db.calls.commit(replace(unit, idempotency=(TENANT, "key", "print", b"")) if unit.created else unit)
    await db.recordings.keep(RECORDING, "file", StoredRecording(1, 2, "3"))
    await db.keys.add(TENANT, "k1", "name", "pb_x", "hash", ("*",), 1)
    await db.numbers.add("n1", TENANT, "+14155550100", 1)
    await db.endpoints.ensure_status(Endpoint("e2", TENANT, "https://x.example", "", ("*",), 1, kind="status"), "whsec_s")
    await remember(db, 2)
    await db.agents.add(Agent("g1", TENANT, "Ann", "+14155550120", "on_duty", None, 1), 1)
    await db.policies.add(ListEntry("l1", "+1415", "why", 5), TENANT, "block")
    await pool(db, X1)
    await pool(db, name="p2")
    await add(db, X2)
    await bind(db, binding(id=BINDING))
    called = replace(next(iter(story(3))), idempotency=None)
    await db.calls.commit(replace(called, call=replace(called.call, vars={"caller": A, "called": X1}, requested_at=NOW)))
    assert (await db.wrong_keys.tried(Try("1", TENANT, X1, A, "pin", "1111", NOW), Guards())).outcome == "wrong"
    await db.last_agents.forget(TENANT, X1, A, NOW)
    await db.audit.append([("a1", TENANT, 1, "key", "did", "it", "{}")])
    return db


def _has(answer: Any) -> bool:
    return bool(answer.items if isinstance(answer, Page) else answer)


@pytest.mark.parametrize("name", ASKS)
async def test_another_tenant_gets_nothing_and_the_owner_gets_it_still(full: Database, name: str) -> None:
    assert not _has(await ASKS[name](full, OTHER))
    assert not _has(await ASKS[name](full, ""))
    assert _has(await ASKS[name](full, TENANT))


def test_no_method_that_takes_a_tenant_is_missing_here() -> None:
    found = set()
    for room, cls in _rooms().items():
        for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction):
            if not name.startswith("_") and "tenant" in inspect.signature(method).parameters:
                found.add(f"{room}.{name}")
    assert found == set(ASKS) | NOT_ASKED


def _rooms() -> dict[str, type]:
    """The parts of a database by name."""

    class Nothing:
        dialect = "sqlite"

    empty = Database(Nothing(), lambda _owner: False)  # type: ignore[arg-type]
    return {name: type(part) for name, part in vars(empty).items() if name != "backend"}


async def test_a_key_in_flight_is_only_finished_and_dropped_by_its_own_tenant(full: Database) -> None:
    await full.idempotency.begin(TENANT, "other key", "print", 1)
    await full.idempotency.finish(OTHER, "other key", "print", 200, b"x", 1)
    await full.idempotency.drop(OTHER, "other key")
    kept = await full.idempotency.get(TENANT, "other key")
    assert kept is not None
    assert kept.status == 0
