"""Where a controller dies: around every commit, every verb and every question, and in the midst of a batch."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from controller.core.events import Event, LegEnded
from controller.core.verbs import Verb
from controller.drivers.simulator.link import Simulator
from controller.ports import CallStore, LegSeen, NotSaved, Unit
from controller.store import sqlite
from tests.crash.warp import WarpLoop

POINTS = (
    "before commit",
    "in mid-batch",
    "after commit, before anybody knows",
    "after commit",
    "before do",
    "after do, before sent",
    "in resync",
    "before a look-up",
    "after a look-up",
    "sudden death",
)
"""Where one may die; the last is at any time."""
RARE = {"in resync": 5, "before a look-up": 5, "after a look-up": 5}
"""How much sooner death comes at points that are rare among the rest."""


class Killed(BaseException):
    """This controller is dead: nothing it does has an effect any more."""


class Fate:
    """When one controller dies.  ``chance``: per point; ``died_at`` counts the points at which one died."""

    def __init__(self, random: Random, chance: float, died_at: Counter[str], disk_full: float = 0.0) -> None:
        self._random = random
        self.chance, self.disk_full = chance, disk_full
        self._died_at = died_at
        self._loop = asyncio.get_running_loop()
        self.dead = False
        self.died = asyncio.Event()

    def strikes(self, point: str) -> bool:
        """True if the controller dies here, or did before.  May be asked in any thread."""
        chance = self.chance * RARE.get(point, 1)
        if not self.dead and self._random.random() < chance:
            self.dead = True
            self._died_at[point] += 1
            self._loop.call_soon_threadsafe(self.died.set)
        return self.dead

    def point(self, name: str) -> None:
        """Die here, perhaps."""
        if self.strikes(name):
            raise Killed

    def die(self, name: str) -> None:
        """Die now."""
        if not self.dead:
            self.dead = True
            self._died_at[name] += 1
            self.died.set()

    def full(self) -> bool:
        """True if the disk is full just now."""
        return self._random.random() < self.disk_full


class MortalStore:
    """A call store whose controller may die before and after each commit."""

    def __init__(self, store: CallStore, fate: Fate) -> None:
        self._store, self._fate = store, fate

    async def commit(self, unit: Unit) -> None:
        """Write a unit."""
        self._fate.point("before commit")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpLoop)
        loop.enter()
        try:
            await self._store.commit(unit)
        finally:
            loop.leave()
        self._fate.point("after commit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class MortalLink:
    """A PBX link whose controller may die before and after each verb and each question."""

    def __init__(self, link: Simulator, fate: Fate) -> None:
        self.node = link.node
        self._link, self._fate = link, fate

    async def do(self, verb: Verb) -> None:
        """Ask for a verb."""
        self._fate.point("before do")
        await self._link.do(verb)
        self._fate.point("after do, before sent")

    def events(self) -> AsyncIterator[Event]:
        """What happens."""
        return self._link.events()

    async def alive(self) -> Mapping[str, LegSeen]:
        """The live legs."""
        self._fate.point("in resync")
        return await self._link.alive()

    async def gone(self, legs: Sequence[str]) -> Mapping[str, LegEnded]:
        """The lines of ended legs."""
        self._fate.point("in resync")
        return await self._link.gone(legs)

    async def close(self) -> None:
        """Leave."""
        await self._link.close()


_write_batch, _write_units = sqlite.write_batch, sqlite.write_units


def write(connection: Any, items: Sequence[Any], _fate: Fate) -> None:
    """What the writer does with a batch: here a mutant may do otherwise."""
    _write_batch(connection, items)


@contextmanager
def mortal_batches(fate: Fate) -> Iterator[None]:
    """The database of a controller that may die while it writes, or right after, before anybody is told."""

    def units(db: sqlite3.Connection, rows: Sequence[Any]) -> Any:
        if fate.strikes("in mid-batch"):
            _write_units(db, rows[: max(1, len(rows) // 2)])
            raise sqlite3.OperationalError("killed")
        if fate.full():
            raise sqlite3.OperationalError("database or disk is full")
        return _write_units(db, rows)

    def batch(connection: Any, items: Sequence[Any]) -> None:
        if fate.dead:
            for item in items:
                item.fault = NotSaved("killed")
            return
        write(connection, items, fate)
        fate.strikes("after commit, before anybody knows")

    sqlite.write_batch, sqlite.write_units = batch, units
    try:
        yield
    finally:
        sqlite.write_batch, sqlite.write_units = _write_batch, _write_units
