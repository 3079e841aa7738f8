"""A database that cannot take a unit refuses it: nothing is half done, and afterwards all goes on."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from controller.ports import InDoubt, NotSaved
from controller.store import backend, postgres, sqlite
from controller.store.database import Database
from controller.store.errors import Taken, Unavailable
from tests.databases import Cluster
from tests.store.calls import OTHER, TENANT, call_id, queued, started, story


async def refusals(db: Database, count: int = 40) -> list[str]:
    """What each of many new calls is answered; all must be refused."""
    units = [queued(number) for number in range(100, 100 + count)]
    outcomes = await asyncio.gather(*(db.calls.commit(unit) for unit in units), return_exceptions=True)
    assert all(isinstance(outcome, NotSaved) for outcome in outcomes)
    return [str(outcome) for outcome in outcomes]


async def goes_on(db: Database, calls_before: int) -> None:
    """Nothing of what was refused is there, and it can be written now."""
    assert len(await db.calls.queued(1000)) == calls_before
    await asyncio.gather(*(db.calls.commit(queued(number)) for number in range(100, 140)))
    assert len(await db.calls.queued(1000)) == calls_before + 40


async def in_one_batch(db: Database, count: int, *works: Coroutine[Any, Any, Any]) -> list[Any]:
    """What comes of works that write ``count`` things, all behind one that holds the writer up: so they are one batch."""
    begun, go = threading.Event(), threading.Event()

    def holds_the_writer_up(_sql: Connection) -> None:
        begun.set()
        go.wait(30)

    async with asyncio.timeout(60):
        held = asyncio.create_task(db.backend.write(holds_the_writer_up))
        await asyncio.to_thread(begun.wait, 30)
        writing = asyncio.gather(*works, return_exceptions=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert db.backend.waiting == 1 + count
        go.set()
        await held
        return await writing


# --- SQLite


def test_many_can_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def opens(url: str) -> None:
        made = sqlite.engine(url)
        together.wait(30)
        with made.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS one (n INTEGER)")
        made.dispose()

    with ThreadPoolExecutor(8) as threads:
        for number in range(60):
            for opened in [threads.submit(opens, f"sqlite:///{tmp_path}/{number}.db") for _ in range(8)]:
                opened.result(60)


@pytest.fixture
async def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Database, Path]]:
    """A SQLite database that waits only briefly for a lock, with one call."""
    monkeypatch.setattr(sqlite, "BUSY_MS", 200)
    database = await Database.open(f"sqlite:///{tmp_path / 'patchbay.db'}")
    await database.tenants.add(TENANT, "Tenant", 1)
    await database.calls.commit(queued(1))
    yield database, tmp_path / "patchbay.db"
    await database.close()


@pytest.fixture
def intruder(file: tuple[Database, Path]) -> Iterator[sqlite3.Connection]:
    """Somebody else with the same file."""
    connection = sqlite3.connect(file[1], isolation_level=None)
    yield connection
    connection.close()


async def test_while_somebody_locks_the_file_units_are_refused_and_the_loop_runs_on(
    file: tuple[Database, Path], intruder: sqlite3.Connection
) -> None:
    db, _ = file
    intruder.execute("BEGIN IMMEDIATE")
    refusing = asyncio.create_task(refusals(db))
    turns = 0
    while not refusing.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert set(await refusing) == {"sqlite: database is locked"}
    assert turns >= 5
    intruder.execute("ROLLBACK")
    await goes_on(db, 1)


async def test_a_commit_that_fails_at_its_very_end_is_in_doubt_and_one_before_it_is_not(file: tuple[Database, Path]) -> None:
    db, _ = file

    def no_commit(action: int, what: str | None, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    def deny(connection: Connection, on: bool) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_authorizer(no_commit if on else None)

    backend = db.backend
    assert isinstance(backend, sqlite.Sqlite)
    await asyncio.to_thread(deny, backend._writer, True)
    with pytest.raises(InDoubt):
        await db.calls.commit(queued(2))
    await asyncio.to_thread(deny, backend._writer, False)
    assert await db.calls.get(call_id(2)) is None
    with pytest.raises(NotSaved) as refused:
        await db.calls.commit(queued(1))
    assert not isinstance(refused.value, InDoubt)
    await goes_on(db, 1)


async def test_calls_can_be_read_while_somebody_locks_the_file(
    file: tuple[Database, Path], intruder: sqlite3.Connection
) -> None:
    intruder.execute("BEGIN IMMEDIATE")
    assert await file[0].calls.get(call_id(1)) is not None
    intruder.execute("ROLLBACK")


async def test_while_the_disk_is_full_units_are_refused(file: tuple[Database, Path]) -> None:
    db, _ = file
    backend_of_db = db.backend
    limit = await backend_of_db.write(lambda sql: sql.exec_driver_sql("PRAGMA max_page_count = 1").scalar_one())
    (outcomes,) = await in_one_batch(db, 400, refusals(db, 400))
    assert set(outcomes) == {"sqlite: database or disk is full"}
    await backend_of_db.write(lambda sql: sql.exec_driver_sql(f"PRAGMA max_page_count = {limit + 10_000}").scalar_one())
    await goes_on(db, 1)


async def test_when_the_commit_itself_fails_nothing_of_the_batch_is_there(file: tuple[Database, Path]) -> None:
    db, _ = file

    def breaks_a_promise(sql: Connection) -> None:
        sql.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        sql.exec_driver_sql("INSERT INTO display_number VALUES ('n1', 'unknown', 'x', 1)")

    outcomes = await in_one_batch(db, 5 + 1, refusals(db, 5), db.backend.write(breaks_a_promise))
    assert [str(outcome) for outcome in outcomes] == [str(["sqlite: IntegrityError"] * 5), "sqlite: IntegrityError"]
    await goes_on(db, 1)


async def test_a_job_that_fails_takes_no_unit_along_and_no_unit_takes_a_job_along(db: Database) -> None:
    await db.numbers.add("n1", TENANT, "+14155550100", 1)
    writes = [
        db.calls.commit(queued(1)),
        db.numbers.add("n2", TENANT, "+14155550100", 1),
        db.calls.commit(queued(2, tenant=OTHER)),
        db.numbers.add("n3", TENANT, "+14155550103", 1),
        db.calls.commit(queued(3)),
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Taken, NotSaved, type(None), type(None)]
    assert await db.numbers.owned(TENANT) == {"+14155550100", "+14155550103"}
    assert len(await db.calls.queued(10)) == 2


async def test_more_than_the_bound_may_not_wait(
    file: tuple[Database, Path], intruder: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, _ = file
    monkeypatch.setattr(sqlite, "WAITING_BOUND", 10)
    intruder.execute("BEGIN IMMEDIATE")
    told = await refusals(db, 15)
    assert told.count("too much waits to be written") == 5
    intruder.execute("ROLLBACK")
    await goes_on_slowly(db)


async def goes_on_slowly(db: Database) -> None:
    """As ``goes_on``, one after another."""
    for number in range(100, 140):
        await db.calls.commit(queued(number))
    assert len(await db.calls.queued(1000)) == 41


async def test_a_caller_that_gives_up_waiting_disturbs_nobody(db: Database) -> None:
    tasks = [asyncio.create_task(db.calls.commit(queued(number))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes[1::2]} == {type(None)}
    await db.calls.commit(queued(99))
    assert db.waiting == 0


# --- PostgreSQL


@pytest.fixture
async def served(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Database, str]]:
    """A PostgreSQL database that waits only briefly for a lock, with one call."""
    monkeypatch.setitem(postgres.SERVER, "lock_timeout", "200ms")
    url = await cluster.new()
    database = await Database.open(url, migrate=False)
    await database.tenants.add(TENANT, "Tenant", 1)
    await database.calls.commit(queued(1))
    yield database, url
    await database.close()


async def test_while_somebody_locks_the_table_units_are_refused(served: tuple[Database, str]) -> None:
    db, url = served
    intruder = await asyncpg.connect(url)
    async with intruder.transaction():
        await intruder.execute("LOCK TABLE call IN EXCLUSIVE MODE")
        assert set(await refusals(db)) == {"postgresql: 55P03"}
    await intruder.close()
    await goes_on(db, 1)


async def test_a_line_that_was_cut_is_made_again_and_no_unit_is_refused(served: tuple[Database, str], cluster: Cluster) -> None:
    db, _ = served
    for unit in story(2):
        await cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'patchbay'")
        await db.calls.commit(unit)
    assert await db.calls.get(call_id(2)) == unit.call


async def test_while_the_server_is_away_units_and_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "DOUBT_S", 0.3)
    server = await asyncio.to_thread(Cluster)
    try:
        db = await Database.open(await server.new(), migrate=False)
        await db.tenants.add(TENANT, "Tenant", 1)
        await db.calls.commit(queued(1))
        await asyncio.to_thread(server.stop)
        began = time.monotonic()
        await refusals(db)
        assert time.monotonic() - began < 30
        with pytest.raises(Unavailable):
            await db.calls.get(call_id(1))
        with pytest.raises(NotSaved):
            await db.ping()
        await asyncio.to_thread(server.start)
        await goes_on(db, 1)
        await db.calls.commit(started(queued(1)))
        await db.close()
    finally:
        await asyncio.to_thread(server.remove)


async def test_a_commit_that_counted_before_the_line_was_lost_for_long_is_in_doubt(
    served: tuple[Database, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, _ = served
    write = postgres.write_units

    async def cut(connection: Any, units: Any) -> Any:
        await write(connection, units)
        raise ConnectionResetError

    with monkeypatch.context() as away:
        away.setattr(postgres, "DOUBT_S", -1.0)
        away.setattr(postgres, "write_units", cut)
        with pytest.raises(InDoubt):
            await db.calls.commit(queued(2))
    assert await db.calls.get(call_id(2)) is not None
    await db.calls.commit(queued(3))


async def test_the_bound_holds_on_postgresql_too(served: tuple[Database, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "WAITING_BOUND", 10)
    units = [queued(number) for number in range(100, 115)]
    outcomes = await asyncio.gather(*(served[0].calls.commit(unit) for unit in units), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes if outcome is not None] == ["too much waits to be written"] * 5


# --- how long a commit waits for company


def test_a_commit_waits_only_when_there_is_much_to_write() -> None:
    pace, now = backend.Pace(), 100.0
    for _ in range(50):
        now += 0.002
        assert pace.pause(1, now) == 0.0
        pace.committed(1, now)
    for _ in range(400):
        now += 0.0005
        pace.committed(1, now)
    assert 0 < pace.pause(1, now + 0.001) < pace.GAP_S
    assert pace.pause(1, now + pace.GAP_S) == 0.0
    assert pace.pause(pace.ENOUGH, now + 0.001) == 0.0
    pace.committed(1, now + 10)
    assert pace.pause(1, now + 10) == 0.0
