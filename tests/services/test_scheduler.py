"""The queue: first in first out per line, lines take turns, limits hold, positions are true, nothing is started twice."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.call import Call, CallStatus
from controller.core.events import Cancel
from controller.ports import NotSaved, Unit
from controller.services.calls import Calls
from controller.services.desk import Desk
from controller.services.flows import FlowBook
from controller.services.limits import Limits
from controller.services.room import QueueFull
from controller.services.scheduler import Place, Scheduler
from controller.store.database import Database
from tests.core.story import CALLBACK, T0
from tests.store.calls import queued


class Ticking:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return T0 + round(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


class Queue:
    """A scheduler over a real database, without its loop: ``round`` lets each line start what it may.

    ``faults``: what the way over a trunk raises."""

    def __init__(self, db: Database, **bounds: tuple[float, int]) -> None:
        self.db, self.clock = db, Ticking()
        self.usable = True
        self.faults: dict[str, Exception] = {}
        book = FlowBook({(CALLBACK.name, CALLBACK.version): CALLBACK})
        self.calls = Calls(db.calls, book)
        named = {name.replace("_", ":"): bound for name, bound in bounds.items()}
        self.limits = Limits(named, (1000.0, 1000))
        self.scheduler = Scheduler(self.calls, self.limits, self.route, self.clock, 6, 4, 10.0)

    def route(self, call: Call) -> list[Place]:
        trunk = str(call.vars.get("trunk", "a"))
        if trunk in self.faults:
            raise self.faults[trunk]
        return [Place("pbx1", {"caller": trunk, "callee": trunk})] if self.usable else []

    async def add(self, number: int, tenant: str = "x", trunk: str = "a") -> str:
        unit = queued(number, tenant, vars={"trunk": trunk})
        self.scheduler.room.check(tenant)
        await self.calls.open(unit)
        self.scheduler.add(unit.call)
        return unit.call.id

    async def round(self) -> set[str]:
        """The calls that started since the last time."""
        before = {call.id for call in self.calls.of_node("pbx1")}
        while self.scheduler.round() == 0:
            pass
        await self.calls.drain()
        return {call.id for call in self.calls.of_node("pbx1")} - before


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path}/calls.db")
    for tenant in ("x", "y"):
        await database.tenants.add(tenant, tenant, 1)
    yield database
    await database.close()


async def test_calls_of_a_line_start_in_their_order_as_places_come_free(db: Database) -> None:
    queue = Queue(db, tenant_x=(1000.0, 2))
    first, second, third = [await queue.add(number) for number in (1, 2, 3)]
    assert await queue.round() == {first, second}
    assert queue.scheduler.position(third) == (1, queue.clock.now())
    await queue.calls.ask(first, Cancel(queue.clock.now()))
    assert await queue.round() == {third}


async def test_one_tenants_crowd_does_not_hold_up_another(db: Database) -> None:
    queue = Queue(db, trunk_a=(1000.0, 2))
    crowd = [await queue.add(number) for number in (1, 2, 3)]
    other = await queue.add(4, "y")
    assert await queue.round() == {crowd[0], other}


async def test_a_full_trunk_holds_up_only_its_own_line(db: Database) -> None:
    queue = Queue(db, trunk_a=(1000.0, 1))
    first, second = [await queue.add(number) for number in (1, 2)]
    elsewhere = await queue.add(3, trunk="b")
    assert await queue.round() == {first, elsewhere}
    assert queue.scheduler.position(second) is not None


async def test_a_rate_is_kept(db: Database) -> None:
    queue = Queue(db, trunk_a=(1.0, 100))
    calls = [await queue.add(number) for number in (1, 2, 3)]
    assert await queue.round() == {calls[0]}
    assert queue.scheduler.position(calls[2]) == (2, queue.clock.now() + 1000)
    queue.clock.seconds += 0.9
    assert await queue.round() == set()
    queue.clock.seconds += 0.2
    assert await queue.round() == {calls[1]}


async def test_without_a_usable_node_everything_waits_and_nothing_is_lost(db: Database) -> None:
    queue = Queue(db)
    call = await queue.add(1)
    queue.usable = False
    assert await queue.round() == set()
    queue.usable = True
    assert await queue.round() == {call}


async def test_a_waiting_call_that_is_canceled_leaves_the_line_and_the_others_move_up(db: Database) -> None:
    queue = Queue(db, tenant_x=(1000.0, 1))
    running, second, third = [await queue.add(number) for number in (1, 2, 3)]
    assert await queue.round() == {running}
    assert [queue.scheduler.position(call) for call in (second, third)] != [None, None]
    await queue.calls.ask(second, Cancel(queue.clock.now()))
    assert queue.scheduler.position(second) is None
    place = queue.scheduler.position(third)
    assert place is not None
    assert place[0] == 1
    stored = await db.calls.get(second)
    assert stored is not None
    assert stored.disposition == "canceled"


async def test_the_queue_goes_on_after_its_last_waiting_call_was_canceled(db: Database) -> None:
    queue = Queue(db)
    queue.usable = False
    first = await queue.add(1)
    await queue.calls.ask(first, Cancel(queue.clock.now()))
    queue.usable = True
    assert await queue.round() == set()
    second = await queue.add(2)
    assert await queue.round() == {second}


async def test_the_queue_is_bounded_for_a_tenant_and_for_all(db: Database) -> None:
    queue = Queue(db, tenant_x=(1000.0, 1), tenant_y=(1000.0, 1))
    for number in range(1, 5):
        await queue.add(number)
    with pytest.raises(QueueFull) as mine:
        await queue.add(5)
    assert mine.value.retry_after_s >= 1
    for number in (6, 7):
        await queue.add(number, "y")
    with pytest.raises(QueueFull):
        await queue.add(8, "y")


async def test_after_a_restart_what_lived_holds_its_places_and_what_waited_waits_in_order(db: Database) -> None:
    before = Queue(db, tenant_x=(1000.0, 2))
    calls = [await before.add(number) for number in (1, 2, 3, 4)]
    assert await before.round() == set(calls[:2])

    after = Queue(db, tenant_x=(1000.0, 2))
    live = await db.calls.live("pbx1")
    for call in live:
        after.calls.adopt(call)
    after.scheduler.restore(await db.calls.queued(100), live)
    assert after.limits.live("tenant:x") == 2
    assert await after.round() == set()
    assert [after.scheduler.position(call) for call in calls[2:]] == [(1, after.clock.now()), (2, after.clock.now() + 1)]


async def test_an_ended_call_gives_its_places_back_once(db: Database) -> None:
    queue = Queue(db, tenant_x=(1000.0, 1))
    first = await queue.add(1)
    await queue.round()
    call = queue.calls.get(first)
    assert call is not None
    ended = replace(call, status=CallStatus.ended)
    for _ in range(2):
        queue.scheduler.committed(call, ended, ())
    assert queue.limits.live("tenant:x") == 0


async def test_a_call_cannot_wait_twice(db: Database) -> None:
    queue = Queue(db)
    call = await queue.add(1)
    again = queue.calls.get(call)
    assert again is not None
    queue.scheduler.add(again)
    assert len(queue.scheduler) == 1
    assert await queue.round() == {call}


async def test_a_call_for_which_nobody_waits_begins_at_once_and_holds_its_places(db: Database) -> None:
    queue = Queue(db, trunk_a=(1000.0, 1))
    one, two = queued(1, "x", vars={"trunk": "a"}).call, queued(2, "x", vars={"trunk": "a"}).call
    start = queue.scheduler.at_once(one)
    assert start is not None
    assert (start.node, dict(start.routes)) == ("pbx1", {"caller": "a", "callee": "a"})
    assert queue.scheduler.at_once(two) is None
    queue.scheduler.call_off(one.id)
    queue.scheduler.call_off(one.id)
    assert queue.limits.live("trunk:a") == 0
    assert queue.scheduler.at_once(two) is not None


async def test_nobody_overtakes_those_who_wait(db: Database) -> None:
    queue = Queue(db)
    await queue.add(1)
    assert queue.scheduler.at_once(queued(2, "y", vars={"trunk": "b"}).call) is None


async def test_without_a_usable_node_nothing_begins_at_once(db: Database) -> None:
    queue = Queue(db)
    queue.usable = False
    assert queue.scheduler.at_once(queued(1, "x").call) is None


async def test_a_desk_opens_and_begins_in_one_unit_and_gives_the_places_back_when_it_cannot(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(db, trunk_a=(1000.0, 1))
    book = FlowBook({(CALLBACK.name, CALLBACK.version): CALLBACK})
    monkeypatch.setattr(book, "latest", lambda _name: CALLBACK)
    desk = Desk(queue.calls, queue.scheduler, book, queue.route, queue.clock)
    units: list[Unit] = []
    commit = db.calls.commit

    async def full(_unit: Unit) -> None:
        raise NotSaved("the disk is full")

    async def noted(unit: Unit) -> None:
        units.append(unit)
        await commit(unit)

    monkeypatch.setattr(db.calls, "commit", full)
    with pytest.raises(NotSaved):
        await desk.open(queued(1, "x", vars={"trunk": "a"}).call)
    assert queue.limits.live("trunk:a") == len(queue.calls) == 0
    monkeypatch.setattr(db.calls, "commit", noted)
    told = await desk.open(queued(2, "x", vars={"trunk": "a"}).call)
    (unit,) = units
    assert told.status is CallStatus.queued
    assert [fact.type for fact in unit.facts][:2] == ["call.queued", "call.started"]
    assert (unit.created, queue.limits.live("trunk:a")) == (True, 1)
    waits = await desk.open(queued(3, "x", vars={"trunk": "a"}).call)
    assert queue.scheduler.position(waits.id) is not None
