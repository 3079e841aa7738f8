"""Memories: made by the unit that dials the callee, one per display number and party, gone when their time is over."""

import asyncio

from sqlalchemy import delete

from controller.core import events as ev
from controller.core import ids
from controller.ports import Unit
from controller.store.database import Database
from controller.store.tables import CALL
from tests.core.story import NUMBERS, T0
from tests.store.calls import NODE, OTHER, TENANT, after, call_id, queued

TTL_S = 100
DISPLAY, PARTY = NUMBERS["callee_display"], NUMBERS["callee"]


def until_the_callee_is_dialled(number: int = 1, metadata: dict[str, object] | None = None, **variables: object) -> list[Unit]:
    """The units of a call up to its Connect, which is the last."""
    unit = queued(number, vars={"memory_ttl_s": TTL_S, **variables}, metadata=metadata)
    units = [unit]
    leg, play = ids.leg_id(unit.call.id, 1), ids.verb_id(unit.call.id, 2)
    at = T0 + 1000 * number
    for event in (
        ev.Start(at, NODE, {"caller": "carrier", "callee": "carrier"}),
        ev.LegHeld(at + 1, leg),
        ev.VerbDone(at + 2, leg, play, "done"),
    ):
        units.append(after(units[-1], event))
    return units


async def remember(db: Database, number: int = 1, **variables: object) -> None:
    for unit in until_the_callee_is_dialled(number, **variables):
        await db.calls.commit(unit)


async def test_there_is_one_from_the_unit_on_that_dials_the_callee(db: Database) -> None:
    *before, dialling = until_the_callee_is_dialled()
    for unit in before:
        await db.calls.commit(unit)
    assert await db.memories.dialled(DISPLAY, PARTY, T0) is None
    await db.calls.commit(dialling)
    memory = await db.memories.dialled(DISPLAY, PARTY, T0)
    assert memory is not None
    assert (memory.id, memory.tenant, memory.caller) == (ids.leg_id(call_id(1), 2), TENANT, NUMBERS["caller"])
    assert (memory.created_at, memory.expires_at) == (T0 + 1002, T0 + 1002 + 1000 * TTL_S)
    assert await db.memories.dialled(PARTY, DISPLAY, T0) is None
    assert await db.memories.dialled(DISPLAY, PARTY, memory.expires_at) is None


async def test_what_the_business_wants_echoed_is_found_for_as_long_as_its_call_is_kept(db: Database) -> None:
    for unit in until_the_callee_is_dialled(metadata={"order": [42, None]}):
        await db.calls.commit(unit)
    memory = await db.memories.dialled(DISPLAY, PARTY, T0)
    assert memory is not None
    assert memory.metadata == {"order": [42, None]}
    await db.backend.write(lambda connection: connection.execute(delete(CALL)))
    memory = await db.memories.dialled(DISPLAY, PARTY, T0)
    assert memory is not None
    assert (memory.caller, memory.metadata) == (NUMBERS["caller"], None)


async def test_a_call_without_a_time_to_live_leaves_none(db: Database) -> None:
    for unit in until_the_callee_is_dialled():
        call = unit.call
        object.__setattr__(call, "vars", {name: value for name, value in call.vars.items() if name != "memory_ttl_s"})
        await db.calls.commit(unit)
    assert (await db.memories.list(TENANT, T0)).items == []


async def test_a_later_call_takes_the_place_of_the_one_before(db: Database) -> None:
    await remember(db, 1)
    await remember(db, 2, caller="+14155550177")
    found = (await db.memories.list(TENANT, T0)).items
    assert [(memory.id, memory.caller) for memory in found] == [(ids.leg_id(call_id(2), 2), "+14155550177")]


async def test_many_in_one_commit(db: Database) -> None:
    parties = [f"+1415555{number:04d}" for number in range(20)]
    units = [until_the_callee_is_dialled(number, callee=party) for number, party in enumerate(parties, 1)]
    units.append(until_the_callee_is_dialled(99, callee=parties[0], caller="+14155550177"))  # the same key once more
    for step in zip(*units, strict=True):
        await asyncio.gather(*(db.calls.commit(unit) for unit in step))
    found = (await db.memories.list(TENANT, T0, limit=100)).items
    assert {memory.party for memory in found} == set(parties)


async def test_it_is_changed_used_and_forgotten_by_its_tenant_alone(db: Database) -> None:
    await remember(db)
    memory_id = ids.leg_id(call_id(1), 2)
    assert await db.memories.find(OTHER, memory_id, T0) is None
    assert await db.memories.change(OTHER, memory_id, T0, {"caller": "+14155550177"}) is None
    assert not await db.memories.forget(OTHER, memory_id)
    changed = await db.memories.change(TENANT, memory_id, T0, {"forward_to": "+14155550177"})
    assert changed is not None
    assert (changed.caller, changed.forward_to) == (NUMBERS["caller"], "+14155550177")
    await db.memories.used(memory_id, T0 + 5)
    found = await db.memories.find(TENANT, memory_id, T0)
    assert found is not None
    assert (found.uses, found.used_at) == (1, T0 + 5)
    assert [m.id for m in (await db.memories.list(TENANT, T0, number=PARTY)).items] == [memory_id]
    assert (await db.memories.list(TENANT, T0, number="+14155550999")).items == []
    assert await db.memories.forget(TENANT, memory_id)
    assert not await db.memories.forget(TENANT, memory_id)


async def test_what_is_over_is_removed(db: Database) -> None:
    await remember(db)
    assert await db.memories.tidy(T0) == 0
    assert await db.memories.tidy(T0 + 10**9) == 1


async def test_a_suspended_tenant_remembers_nothing_and_owns_nothing_that_rings(db: Database) -> None:
    await remember(db)
    await db.numbers.add("n1", TENANT, DISPLAY, 1)
    assert await db.memories.owner(DISPLAY) == TENANT
    await db.tenants.change(TENANT, suspended_at=5)
    assert await db.memories.owner(DISPLAY) is None
    assert await db.memories.dialled(DISPLAY, PARTY, T0) is None
