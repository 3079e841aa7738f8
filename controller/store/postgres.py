"""PostgreSQL: units by one asyncpg connection of their own, jobs and reads by a pool.

A connection that is lost while a commit is under way leaves a doubt: the commit may have happened.  The writer connects again
and looks before it says so, and until then the units of that batch wait.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controller.ports import InDoubt, LeaseLost, NotSaved
from controller.store.audit import carry
from controller.store.backend import BATCH_BOUND, WAITING_BOUND, Job, Pace
from controller.store.errors import KeyTaken, Overtaken, Unavailable
from controller.store.postgres_units import OUR_LEASE, STATES, WAKE, statement
from controller.store.units import UnitRows

T = TypeVar("T")
CONNECT_S = 5.0
COMMAND_S = 10.0
DOUBT_S = 10.0
"""How long a batch in doubt waits for the database to come back; after it nobody knows what became of its units."""
RETRY_S = 0.1
SERVER = {
    "application_name": "patchbay",
    "synchronous_commit": "on",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""What is raised when the connection is no good any more, or never was: asyncpg has several words for it."""
UNFIT = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, ValueError)
"""What is raised for values that cannot be written: a fault of one unit."""
_Waiting = tuple[UnitRows, asyncio.Future[None]]


async def connect(url: str, command_s: float = COMMAND_S) -> Any:
    """A connection to the database of a ``postgresql://`` URL.  Raises one of ``AWAY`` or PostgresError."""
    return await asyncpg.connect(url, timeout=CONNECT_S, command_timeout=command_s, server_settings=SERVER)


def engine(url: str, command_s: float = COMMAND_S) -> AsyncEngine:
    """A pool of connections to that database."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(url, command_s),
        hide_parameters=True,
        pool_size=5,
        max_overflow=0,
        pool_timeout=CONNECT_S,
        pool_pre_ping=True,
    )


class Postgres:
    """One PostgreSQL database, open."""

    dialect = "postgresql"

    def __init__(self, url: str, connection: Any) -> None:
        self._url = url
        self._connection = connection
        self._engine = engine(url)
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._closed = False
        self._writer = asyncio.create_task(self._write_all(), name="patchbay-write")

    @classmethod
    async def open(cls, url: str) -> "Postgres":
        """Connect.  Raises Unavailable."""
        try:
            return cls(url, await connect(url))
        except (*AWAY, asyncpg.PostgresError) as error:
            raise Unavailable(told(error)) from None

    @property
    def waiting(self) -> int:
        """Units that are not committed yet."""
        return self._waiting

    async def read(self, job: Job[T]) -> T:
        """Run a job.  Raises Unavailable."""
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(job)
        except (DBAPIError, PoolTimeout, *AWAY) as error:
            raise Unavailable(told(error)) from None

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction of its own.  Raises NotSaved, and what the job raises."""
        if self._closed:
            raise NotSaved("the database is closed")
        job, committed = carry(job)
        try:
            async with self._engine.begin() as connection:
                result = await connection.run_sync(job)
            committed()
            return result
        except (DBAPIError, PoolTimeout, *AWAY) as error:
            raise NotSaved(told(error)) from None

    async def commit(self, rows: UnitRows) -> None:
        """Write a unit in the next transaction.  Raises NotSaved."""
        if self._closed:
            raise NotSaved("the database is closed")
        if self._waiting >= WAITING_BOUND:
            raise NotSaved("too much waits to be written")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        self._queue.append((rows, done))
        self._wake.set()
        await done

    async def close(self) -> None:
        """Write what waits and leave."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        await self._writer
        await self._leave()
        await self._engine.dispose()

    async def _leave(self) -> None:
        if self._connection is not None:
            with suppress(*AWAY):
                await self._connection.close(timeout=CONNECT_S)
            self._connection = None

    # --- the writer

    async def _write_all(self) -> None:
        loop, pace = asyncio.get_running_loop(), Pace()
        while self._queue or not self._closed:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            if (pause := pace.pause(len(self._queue), loop.time())) > 0:
                await asyncio.sleep(pause)
            batch = self._take()
            faults = await self._written([rows for rows, _ in batch])
            pace.committed(len(batch), loop.time())
            self._settle(batch, faults)

    def _take(self) -> list[_Waiting]:
        """What waits, at most one unit of each call: a second one needs to see the first."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        calls: set[str] = set()
        while self._queue and len(batch) < BATCH_BOUND:
            item = self._queue.popleft()
            (later if item[0].call in calls else batch).append(item)
            calls.add(item[0].call)
        self._queue.extendleft(reversed(later))
        return batch

    def _settle(self, batch: Sequence[_Waiting], faults: Sequence[NotSaved | None]) -> None:
        self._waiting -= len(batch)
        for (_, done), fault in zip(batch, faults, strict=True):
            if done.done():
                continue
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(fault)

    async def _written(self, units: list[UnitRows]) -> list[NotSaved | None]:
        """Write units; what became of each."""
        until = asyncio.get_running_loop().time() + DOUBT_S
        doubt = False
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = None
                    self._connection = await connect(self._url)
                faults = await write_units(self._connection, units)
                return await forgive(self._connection, units, faults) if doubt else faults
            except Exception as error:
                doubt = doubt or (self._connection is not None and isinstance(error, AWAY))
                if not (isinstance(error, asyncpg.PostgresError) and not isinstance(error, AWAY)):
                    self._drop()
                if not doubt or asyncio.get_running_loop().time() > until:
                    return [InDoubt(told(error)) if doubt else NotSaved(told(error))] * len(units)
            await asyncio.sleep(RETRY_S)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def write_units(db: Any, units: Sequence[UnitRows]) -> list[NotSaved | None]:
    """Write units of different calls each; what became of each.  Raises what is no fault of one unit: none may be written."""
    text, arguments = statement(units)
    late = [unit.call for unit in units if unit.late]
    try:
        if late:
            async with db.transaction():
                rows = await db.fetch(text, *arguments)
                await db.execute(WAKE, late)
        else:
            rows = await db.fetch(text, *arguments)
    except UNFIT as error:
        if len(units) == 1:
            return [KeyTaken() if "idempotency" in str(error) else NotSaved(f"the unit does not fit: {type(error).__name__}")]
        return [(await write_units(db, (unit,)))[0] for unit in units]
    written = {row["id"] for row in rows}
    return [None if unit.call in written else await _why_not(db, unit) for unit in units]


async def _why_not(db: Any, unit: UnitRows) -> NotSaved:
    if unit.epoch and await db.fetchval(OUR_LEASE, unit.node, unit.epoch) is None:
        return LeaseLost("another process owns the node")
    return Overtaken("the stored call is another than the one this was decided from")


async def forgive(db: Any, units: Sequence[UnitRows], faults: Sequence[NotSaved | None]) -> list[NotSaved | None]:
    """A unit that does not fit because it is there already, from the attempt in doubt, was written."""
    states = {row["id"]: row["state"] for row in await db.fetch(STATES, [unit.call for unit in units])}
    return [None if states.get(unit.call) == unit.state else fault for unit, fault in zip(units, faults, strict=True)]


def told(error: BaseException) -> str:
    """What went wrong in words that bear no values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"postgresql: {getattr(cause, 'sqlstate', None) or type(cause).__name__}"
