"""Webhooks on a real database, calls that happen, and a look at what was saved."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Any

from controller.config import Webhooks as Settings
from controller.ports import Backlog, Cursor, Endpoint, EndpointState, NotSaved, Unit
from controller.services.clock import SystemClock
from controller.services.webhooks import Webhooks
from controller.services.webhooks_lanes import Budget
from controller.store.database import Database
from controller.store.rows import Endpoint as EndpointRow
from tests.services.facts import secret
from tests.services.receiver import Receiver
from tests.store.calls import TENANT, story

QUICK = (0.0, *[0.05] * 99)
"""A retry schedule that a test can wait for."""


def settings(**changes: Any) -> Settings:
    """Loopback may be called."""
    return Settings(**({"allow_private": ("127.0.0.0/8",), "retry_s": QUICK} | changes))


class Watched:
    """The real store of webhooks; says when it was written, and refuses writes while ``broken``."""

    def __init__(self, database: Database) -> None:
        self._store = database.webhooks
        self._written = asyncio.Condition()
        self.broken = False
        self.cursors: dict[tuple[str, str], Cursor] = {}
        self.states: dict[str, tuple[EndpointState, str]] = {}
        self.refused = self.forgotten = 0

    async def endpoints(self) -> list[Endpoint]:
        return await self._store.endpoints()

    async def backlog(self, endpoint: str, now: int, limit: int) -> list[Backlog]:
        return await self._store.backlog(endpoint, now, limit)

    async def save_cursors(self, cursors: Sequence[Cursor]) -> None:
        if self.broken:
            await self._tell(lambda: setattr(self, "refused", self.refused + 1))
            raise NotSaved("the disk is full")
        await self._store.save_cursors(cursors)
        await self._tell(lambda: self.cursors.update({(c.endpoint, c.call): c for c in cursors}))

    async def set_endpoint(self, endpoint: str, state: EndpointState, reason: str, now: int) -> None:
        await self._store.set_endpoint(endpoint, state, reason, now)
        await self._tell(lambda: self.states.update({endpoint: (state, reason)}))

    async def replay(self, endpoint: str, now: int, *which: Any) -> int:
        return await self._store.replay(endpoint, now, *which)

    async def forget_cursors(self, before: int, limit: int) -> int:
        count = await self._store.forget_cursors(before, limit)
        await self._tell(lambda: setattr(self, "forgotten", self.forgotten + count))
        return count

    async def _tell(self, change: Callable[[], object]) -> None:
        async with self._written:
            change()
            self._written.notify_all()

    async def until(self, enough: Callable[["Watched"], bool]) -> None:
        """Wait until what was written is enough."""
        async with asyncio.timeout(30), self._written:
            await self._written.wait_for(lambda: enough(self))

    async def until_saved(self, units: Iterable[Unit], endpoint: str = "e1") -> None:
        """Wait until the endpoint's cursors are behind the last of these facts."""
        last = {unit.call.id: unit.call.sequence for unit in units}
        await self.until(
            lambda watched: all(
                (cursor := watched.cursors.get((endpoint, call))) is not None and cursor.next_sequence > sequence
                for call, sequence in last.items()
            )
        )


class Business:
    """One tenant with its endpoints."""

    def __init__(self, database: Database, **changes: Any) -> None:
        self.database = database
        self.store = Watched(database)
        self.settings = settings(**changes)
        self.budget = Budget()
        self.webhooks = self.fresh()

    def fresh(self) -> Webhooks:
        """A process that knows nothing."""
        self.webhooks = Webhooks(self.store, self.settings, SystemClock(), budget=self.budget)
        return self.webhooks

    async def endpoint(self, receiver: Receiver, name: str = "e1", types: tuple[str, ...] = ("*",)) -> None:
        """The tenant wants facts sent there."""
        row = EndpointRow(name, TENANT, receiver.url, secret(1), types, 1)
        await self.database.endpoints.add(row)

    async def happens(self, units: Iterable[Unit]) -> list[Unit]:
        """Units are committed and told."""
        done = []
        for unit in units:
            await self.database.calls.commit(unit)
            self.webhooks.committed(unit.call, unit.call, unit.facts)
            done.append(unit)
        return done

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Webhooks]:
        """Webhooks run; at the end they are stopped in good order."""
        await self.webhooks.reload()
        task = asyncio.create_task(self.webhooks.run())
        try:
            yield self.webhooks
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def last(units: Sequence[Unit]) -> int:
    """How many facts a call has told."""
    return units[-1].call.sequence


async def all_arrived(house: Business, receiver: Receiver, calls: Sequence[Sequence[Unit]]) -> None:
    """Every fact of these calls came, in order, at least once, and the database knows it."""
    for units in calls:
        call = units[0].call.id
        await receiver.until(lambda r, call=call, units=units: max(r.sequences(call), default=0) == last(units))
        first_seen = list(dict.fromkeys(receiver.sequences(call)))
        assert first_seen == list(range(1, last(units) + 1))
    await house.store.until_saved(unit for units in calls for unit in units)


def stories(count: int, first: int = 1) -> list[list[Unit]]:
    """Recorded callbacks that happen now."""
    now = time.time_ns() // 1_000_000
    return [list(story(number, at=now)) for number in range(first, first + count)]


def mixed(of: Sequence[Sequence[Unit]]) -> Iterable[Unit]:
    """The units of several calls, taking turns."""
    return chain.from_iterable(zip(*of, strict=True))


@asynccontextmanager
async def business(url: str, **changes: Any) -> AsyncIterator[Business]:
    """A business with one tenant on the database."""
    database = await Database.open(url, migrate=False)
    try:
        await database.tenants.add(TENANT, "Tenant", 1)
        yield Business(database, **changes)
    finally:
        await database.close()
