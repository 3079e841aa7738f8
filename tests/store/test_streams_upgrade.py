"""What was told of bindings before all facts went one way is still told, and goes on."""

import asyncio
from collections.abc import Callable

from alembic import command
from sqlalchemy import Connection, text

from controller.store import postgres, sqlite
from controller.store.database import Database
from controller.store.migrate import config, upgrade
from controller.store.rows import Endpoint
from tests.store.calls import TENANT
from tests.store.masking import NOW, X1, bind, binding, pool

BEFORE = "looked_up"


async def _on(url: str, job: Callable[[Connection], None]) -> None:
    """Run a job in a transaction of a database that nobody has open."""
    if url.startswith("sqlite"):
        await asyncio.to_thread(_on_sqlite, url, job)
        return
    engine = postgres.engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(job)
    await engine.dispose()


def _on_sqlite(url: str, job: Callable[[Connection], None]) -> None:
    engine = sqlite.engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        job(connection)
        connection.commit()
    engine.dispose()


def _back(connection: Connection) -> None:
    command.downgrade(config(connection), BEFORE)
    assert connection.execute(text("SELECT count(*) FROM binding_fact")).scalar_one() == 4
    assert connection.execute(text("SELECT count(*) FROM fact")).scalar_one() == 0


async def test_the_history_of_bindings_comes_along_and_goes_on(database_url: str) -> None:
    db = await Database.open(database_url, migrate=False)
    await db.tenants.add(TENANT, "Tenant", 1)
    await pool(db, X1)
    lives = await bind(db, binding(reference="r", metadata={"k": 1}, expires_at=NOW + 9))
    ended = await bind(db, binding("+14155550103", "+14155550104"))
    await db.bindings.release(TENANT, ended.id, NOW + 5)
    await db.bindings.change(TENANT, lives.id, NOW + 1, lambda one: one)
    told = {one: await db.bindings.facts(TENANT, one) for one in (lives.id, ended.id)}
    await db.close()
    await _on(database_url, _back)
    await upgrade(database_url)
    db = await Database.open(database_url, migrate=False)
    assert {one: await db.bindings.facts(TENANT, one) for one in told} == told
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "s", ("*",), 1))
    assert await db.bindings.expire(NOW + 9)
    [found] = await db.webhooks.backlog("e1", NOW + 9, 10)
    assert (found.cursor.next_sequence, [fact.sequence for fact in found.facts], found.of.reference) == (3, [3], "r")
    assert await db.retention.forget_facts(NOW + 6, 10) == 1
    assert [len(await db.bindings.facts(TENANT, one)) for one in told] == [3, 0]
    await db.close()
