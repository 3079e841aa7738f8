"""Upkeep: timelines go when they are old enough, records stay, live calls are left alone, keys go after a day."""

from controller.services.upkeep import DAY_MS, tidy
from controller.store.database import Database
from tests.core.story import T0
from tests.store.calls import TENANT, call_id, canceled, queued


async def test_what_is_old_goes_and_what_is_not_stays(database_url: str) -> None:
    db = await Database.open(database_url, migrate=False)
    await db.tenants.add(TENANT, "Tenant", 1)
    old, young, waiting = queued(1), queued(2, at=T0 + 50 * DAY_MS), queued(3)
    for unit in (old, young, waiting):
        await db.calls.commit(unit)
    for unit in (old, young):
        await db.calls.commit(canceled(unit))
    await db.idempotency.begin(TENANT, "yesterday", "f", T0 + 98 * DAY_MS)
    await db.idempotency.begin(TENANT, "today", "f", T0 + 100 * DAY_MS)

    assert await tidy(db.retention, db.idempotency, db.wrong_keys, db.last_agents, 90, T0 + 100 * DAY_MS) == 1

    assert await db.calls.facts(TENANT, call_id(1)) == []
    assert (await db.calls.find(TENANT, call_id(1))) is not None
    assert len(await db.calls.facts(TENANT, young.call.id)) > 1
    assert len(await db.calls.facts(TENANT, call_id(3))) == 1
    assert await db.idempotency.get(TENANT, "yesterday") is None
    assert await db.idempotency.get(TENANT, "today") is not None
    await db.close()
