"""SQLite: one thread owns the one connection that writes, a few others read.

Units and jobs wait in a queue; the writer takes all that wait, up to a bound, writes them in one transaction and tells the
event loop.  The statements of units go straight to the driver: they cost microseconds, and an abstraction costs more.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from controller.ports import InDoubt, NotSaved
from controller.store.audit import carry
from controller.store.backend import BATCH_BOUND, WAITING_BOUND, Job, Pace
from controller.store.errors import Unavailable
from controller.store.sqlite_units import write_units
from controller.store.units import UnitRows

T = TypeVar("T")
READERS = 3
BUSY_MS = 2000
"""How long a locked database is waited for; then the units are refused."""

CHECKPOINT = "wal_autocheckpoint=4000"
"""Pages (16 MB) of log before they go into the file: the same pages are written over and over, so waiting saves writes."""


def engine(url: str, *pragmas: str, pool: Any = QueuePool) -> Engine:
    """An engine whose connections begin nothing by themselves; every commit reaches the disk.

    A file that is not there yet is made for its owner alone: there will be numbers and secrets in it."""
    arguments = {"isolation_level": None, "check_same_thread": False}
    made = create_engine(url, poolclass=pool, connect_args=arguments, hide_parameters=True)
    with suppress(OSError):  # the connection will say what is wrong
        os.close(os.open(made.url.database or "", os.O_RDWR | os.O_CREAT, 0o600))

    @event.listens_for(made, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}").close()
        _keep_a_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", *pragmas):
            connection.execute(f"PRAGMA {pragma}").close()

    return made


def _keep_a_log(connection: Any) -> None:
    """Set the write-ahead log.  Where two open a new file at once, SQLite refuses one of them without waiting (wal.c)."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@dataclass(slots=True)
class Item:
    """Something to write: a unit's rows or a job, who waits for it, and what came of it."""

    done: asyncio.Future[Any]
    rows: UnitRows | None = None
    job: Job[Any] | None = None
    result: Any = None
    fault: Exception | None = None


class Sqlite:
    """One SQLite file, open."""

    dialect = "sqlite"

    def __init__(self, reading: Engine, writing: Engine, writer: Connection) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = False
        self._readers = ThreadPoolExecutor(READERS, "patchbay-read")
        self._reading, self._writing, self._writer = reading, writing, writer
        self._thread = threading.Thread(target=self._write_all, name="patchbay-write", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, url: str) -> "Sqlite":
        """Open the file.  Raises Unavailable."""
        reading = engine(url, "query_only=ON")
        writing = engine(url, CHECKPOINT, pool=StaticPool)
        try:
            return cls(reading, writing, await asyncio.to_thread(writing.connect))
        except DBAPIError as error:
            raise Unavailable(told(error)) from None

    @property
    def waiting(self) -> int:
        """Units and jobs that are not committed yet."""
        return self._waiting

    async def read(self, job: Job[T]) -> T:
        """Run a job in a reading thread.  Raises Unavailable."""

        def run() -> T:
            with self._reading.connect() as connection:
                return job(connection)

        try:
            return await self._loop.run_in_executor(self._readers, run)
        except DBAPIError as error:
            raise Unavailable(told(error)) from None

    async def write(self, job: Job[T]) -> T:
        """Run a job in the next transaction.  Raises NotSaved, and what the job raises."""
        job, committed = carry(job)
        result: T = await self._put(Item(self._loop.create_future(), job=job))
        committed()
        return result

    async def commit(self, rows: UnitRows) -> None:
        """Write a unit in the next transaction.  Raises NotSaved."""
        await self._put(Item(self._loop.create_future(), rows=rows))

    def _put(self, item: Item) -> asyncio.Future[Any]:
        if self._closed:
            raise NotSaved("the database is closed")
        if self._waiting >= WAITING_BOUND:
            raise NotSaved("too much waits to be written")
        self._waiting += 1
        self._queue.put(item)
        return item.done

    def _settle(self, batch: list[Item]) -> None:
        self._waiting -= len(batch)
        for item in batch:
            if item.done.done():
                continue
            if item.fault is None:
                item.done.set_result(item.result)
            else:
                item.done.set_exception(item.fault)

    async def close(self) -> None:
        """Write what waits and leave."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._readers.shutdown()
        self._reading.dispose()
        self._writer.close()
        self._writing.dispose()

    # --- the writing thread

    def _write_all(self) -> None:
        pace, more = Pace(), True
        while more and (first := self._queue.get()) is not None:
            if (pause := pace.pause(self._queue.qsize(), time.monotonic())) > 0:
                time.sleep(pause)
            batch = [first]
            more = self._take(batch)
            write_batch(self._writer, batch)
            pace.committed(len(batch), time.monotonic())
            self._loop.call_soon_threadsafe(self._settle, batch)

    def _take(self, batch: list[Item]) -> bool:
        """Fill the batch with what waits; False when there will be no more."""
        with suppress(queue.Empty):
            while len(batch) < BATCH_BOUND:
                item = self._queue.get_nowait()
                if item is None:
                    return False
                batch.append(item)
        return True


def write_batch(connection: Connection, batch: Sequence[Item]) -> None:
    """Write what is in the batch in one transaction, and note what came of each item."""
    db = connection.connection.driver_connection
    assert isinstance(db, sqlite3.Connection)
    committing = False
    try:
        db.execute("BEGIN IMMEDIATE")
        units = [item for item in batch if item.rows is not None]
        if units:
            for item, fault in zip(units, write_units(db, [item.rows for item in units if item.rows]), strict=True):
                item.fault = fault
        for item in batch:
            if item.job is not None:
                _run_job(connection, db, item)
        committing = True
        db.execute("COMMIT")
    except Exception as error:
        with suppress(sqlite3.Error):  # most of what goes wrong has ended the transaction already
            db.execute("ROLLBACK")
        for item in batch:
            item.fault = InDoubt(told(error)) if committing else NotSaved(told(error))


def _run_job(connection: Connection, db: sqlite3.Connection, item: Item) -> None:
    """A job that fails undoes itself alone, unless SQLite had to undo everything."""
    assert item.job is not None
    db.execute("SAVEPOINT job")
    try:
        item.result = item.job(connection)
    except Exception as error:
        if not db.in_transaction:
            raise
        db.execute("ROLLBACK TO job")
        item.fault = NotSaved(told(error)) if isinstance(error, DBAPIError) else error
    db.execute("RELEASE job")


def told(error: Exception) -> str:
    """What went wrong in words that bear no values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    known = isinstance(cause, sqlite3.OperationalError)
    return f"sqlite: {cause}" if known else f"sqlite: {type(cause).__name__}"
