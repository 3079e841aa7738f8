"""Marks of customers who are to be forgotten, on both databases."""

import asyncio

from controller.store.database import Database
from tests.store.calls import OTHER, TENANT

X, CUSTOMER = "+14155550901", "+14155550101"


async def test_the_latest_mark_counts_and_is_the_tenants_own(db: Database) -> None:
    assert await db.last_agents.forgotten(TENANT, X, CUSTOMER) == 0
    for at in (5, 7):
        await db.last_agents.forget(TENANT, X, CUSTOMER, at)
        assert await db.last_agents.forgotten(TENANT, X, CUSTOMER) == at
    assert await db.last_agents.forgotten(OTHER, X, CUSTOMER) == 0
    assert await db.last_agents.forgotten(TENANT, X, CUSTOMER + "1") == 0


async def test_many_at_once_leave_one_mark(db: Database) -> None:
    await asyncio.gather(*(db.last_agents.forget(TENANT, X, CUSTOMER, 9) for _ in range(12)))
    assert await db.last_agents.forgotten(TENANT, X, CUSTOMER) == 9


async def test_old_marks_go(db: Database) -> None:
    await db.last_agents.forget(TENANT, X, CUSTOMER, 5)
    await db.last_agents.forget(TENANT, X, CUSTOMER + "1", 10)
    assert await db.last_agents.sweep(10) == 1
    assert await db.last_agents.forgotten(TENANT, X, CUSTOMER) == 0
    assert await db.last_agents.forgotten(TENANT, X, CUSTOMER + "1") == 10
