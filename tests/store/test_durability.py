"""OP3: what was acknowledged is there, whatever dies; what is there is whole."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from controller.ports import NotSaved, Unit
from controller.store.database import Database
from controller.store.rows import CallFilter
from tests.databases import Cluster
from tests.store.calls import TENANT, call_id, queued, story

ENOUGH = 400
"""Acknowledged units after which the writing process is killed."""
TIMEOUT_S = 60


async def acknowledged_until_killed(url: str) -> dict[str, int]:
    """Let a process write, kill it in the middle, and return the last acknowledged sequence of each call."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.writing", url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    async with asyncio.timeout(TIMEOUT_S):
        async for line in process.stdout:
            lines.append(line)
            if len(lines) == ENOUGH:
                process.kill()
        await process.wait()
    assert len(lines) >= ENOUGH
    words = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return {call: int(sequence) for call, sequence in words}


async def stored(db: Database) -> dict[str, int]:
    """The sequence of each stored call, each of which is whole: all its facts are there, and no more."""
    found: dict[str, int] = {}
    after: str | None = None
    while True:
        page = await db.calls.list(TENANT, CallFilter(), 200, after)
        for call in page.items:
            facts = await db.calls.facts(TENANT, call.id)
            assert [fact.sequence for fact in facts] == list(range(1, call.sequence + 1))
            found[call.id] = call.sequence
        after = page.next
        if after is None:
            return found


async def test_what_was_acknowledged_is_there_after_the_process_was_killed(db: Database, database_url: str) -> None:
    acknowledged = await acknowledged_until_killed(database_url)
    there = await stored(db)
    assert {call: sequence for call, sequence in acknowledged.items() if there.get(call, 0) < sequence} == {}


async def test_what_waits_is_written_before_the_database_is_closed(db: Database, database_url: str) -> None:
    leaving = await Database.open(database_url, migrate=False)
    waiting = [asyncio.ensure_future(leaving.calls.commit(queued(number))) for number in range(300)]
    await asyncio.sleep(0)
    await leaving.close()
    await asyncio.gather(*waiting)
    assert len(await stored(db)) == 300
    with pytest.raises(NotSaved):
        await leaving.calls.commit(queued(301))


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A PostgreSQL server that may be crashed."""
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
async def crashing(server: Cluster) -> AsyncIterator[Database]:
    """A database on it."""
    database = await Database.open(await server.new(), migrate=False)
    await database.tenants.add(TENANT, "Tenant", 1)
    yield database
    await database.close()


async def test_after_a_crash_of_postgresql_in_the_middle_every_unit_is_as_was_said(crashing: Database, server: Cluster) -> None:
    acknowledged: dict[str, int] = {}
    refused: dict[str, int] = {}
    enough = asyncio.Event()

    async def write(number: int) -> None:
        for unit in story(number):
            try:
                await crashing.calls.commit(unit)
            except NotSaved:
                refused[unit.call.id] = unit.call.sequence
                return
            acknowledged[unit.call.id] = unit.call.sequence
            if len(acknowledged) > 100:
                enough.set()

    async def crash() -> None:
        await enough.wait()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(crash(), *(write(number) for number in range(300)))
    there = await stored(crashing)
    assert {call: sequence for call, sequence in acknowledged.items() if there.get(call, 0) != sequence} == {}
    assert {call for call in refused if there.get(call, 0) > acknowledged.get(call, 0)} == set()


class Proxy:
    """Stands between a client and a PostgreSQL socket, and can swallow the server's next answer together with the line."""

    def __init__(self, folder: Path, to: Path) -> None:
        self.swallow = False
        self.swallowed = asyncio.Event()
        self._to = str(to / ".s.PGSQL.5432")
        self._at = str(folder / ".s.PGSQL.5432")
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._carry, self._at)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._to)
        there = asyncio.create_task(self._pump(reader, far_writer, False))
        back = asyncio.create_task(self._pump(far_reader, writer, True))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        for end in (writer, far_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        while data := await reader.read(65536):
            if is_answer and self.swallow:
                self.swallow = False
                self.swallowed.set()
                return
            writer.write(data)
            await writer.drain()

    async def close(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()


@pytest.fixture
async def proxied(cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[Database, Proxy]]:
    """A database behind a proxy."""
    url = await cluster.new()
    proxy = Proxy(tmp_path, cluster.folder)
    await proxy.open()
    database = await Database.open(url.replace(str(cluster.folder), str(tmp_path)), migrate=False)
    await database.tenants.add(TENANT, "Tenant", 1)
    yield database, proxy
    await database.close()
    await proxy.close()


@pytest.mark.parametrize("at", range(15))
async def test_a_commit_whose_answer_was_lost_is_found_and_not_done_twice(proxied: tuple[Database, Proxy], at: int) -> None:
    db, proxy = proxied
    for number, unit in enumerate(story()):
        proxy.swallow = number == at
        await db.calls.commit(unit)
    assert proxy.swallowed.is_set()
    assert await db.calls.get(call_id(1)) == unit.call
    assert await stored(db) == {call_id(1): unit.call.sequence}


async def test_of_units_in_doubt_only_those_that_do_not_fit_are_refused(proxied: tuple[Database, Proxy]) -> None:
    db, proxy = proxied
    await db.calls.commit(queued(0))
    proxy.swallow = True
    units: list[Unit] = [queued(1), queued(0, reference="another"), queued(2)]
    outcomes = await asyncio.gather(*(db.calls.commit(unit) for unit in units), return_exceptions=True)
    assert proxy.swallowed.is_set()
    assert [isinstance(outcome, NotSaved) for outcome in outcomes] == [False, True, False]
    assert await stored(db) == {call_id(number): 1 for number in range(3)}
