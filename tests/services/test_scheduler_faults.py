"""OP3, CB6: no waiting call holds up another, whatever is wrong with it; and no more are taken in than there is room for."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from controller.core.call import Call
from controller.ports import NotSaved, Unit
from controller.services.desk import Desk
from controller.services.flows import FlowBook
from controller.services.room import QueueFull
from controller.services.scheduler import WAY_BACK_S, NoRoute
from controller.store.database import Database
from tests.core.story import CALLBACK
from tests.services.test_scheduler import Queue, db  # noqa: F401
from tests.services.test_scheduler_times import ended, wait
from tests.store.calls import call_id, canceled, queued, started

GONE = NoRoute("callee")


async def later(queue: Queue, seconds: float) -> set[str]:
    """What starts while this time goes by."""
    started: set[str] = set()
    for _ in range(round(seconds)):
        queue.clock.seconds += 1
        started |= await queue.round()
    return started


@pytest.mark.parametrize("fault", [GONE, ValueError("a fault of ours")], ids=["no way", "fault"])
async def test_a_call_that_cannot_be_started_holds_up_no_other(db: Database, fault: Exception) -> None:  # noqa: F811
    queue = Queue(db)
    stuck = await queue.add(1, trunk="b")
    others = {await queue.add(2), await queue.add(3, "y", trunk="c")}
    queue.faults["b"] = fault
    assert await queue.round() == others
    assert await later(queue, 10) == set()
    del queue.faults["b"]
    assert await later(queue, 3) == {stuck}


@pytest.mark.parametrize("fault", [GONE, ValueError("a fault of ours")], ids=["no way", "fault"])
async def test_nor_those_behind_it_in_its_own_line(db: Database, fault: Exception) -> None:  # noqa: F811
    queue = Queue(db)
    stuck, behind = [await queue.add(number) for number in (1, 2)]
    route = queue.route

    def broken(call: Call) -> object:
        if call.id == stuck:
            raise fault
        return route(call)

    queue.scheduler._router = broken  # type: ignore[assignment]
    assert await later(queue, 3) == {behind}
    assert len(queue.scheduler) == 1


async def test_a_way_that_comes_back_in_time_is_taken(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    queue.usable = False
    first, second = [await queue.add(number) for number in (1, 2)]
    queue.faults["a"] = GONE
    assert await later(queue, WAY_BACK_S - 5) == set()
    assert queue.scheduler.position(first) == (0, 0)
    del queue.faults["a"]
    assert await later(queue, 3) == set()
    assert [queue.scheduler.position(call) for call in (first, second)] == [(1, queue.clock.now()), (2, queue.clock.now() + 1)]
    queue.faults["a"] = GONE
    assert await later(queue, WAY_BACK_S - 5) == set()
    del queue.faults["a"]
    queue.usable = True
    assert await later(queue, 3) == {first, second}


async def test_when_none_comes_back_the_call_ends_once_as_failed_by_the_platform(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    calls = [await queue.add(number) for number in (1, 2)]
    queue.faults["a"] = GONE
    assert await later(queue, WAY_BACK_S + 3) == set()
    for call in calls:
        stored = await ended(queue, call)
        assert (stored.disposition, stored.hangup_by, stored.started_at) == ("failed", "platform", None)
        kinds = Counter(fact.type for fact in await db.calls.facts("x", call))
        assert (kinds["call.ended"], kinds["cdr.created"]) == (1, 1)
    assert len(queue.scheduler) == len(queue.calls) == 0
    assert not queue.scheduler._no_way


async def test_while_it_waits_for_a_way_a_call_can_be_too_late_or_be_canceled(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    late, canceled = await wait(queue, 1, not_after=20), await wait(queue, 2)
    queue.faults["a"] = GONE
    await later(queue, 21)
    assert (await ended(queue, late)).canceled_by == "not_after"
    desk = desk_of(queue)
    assert (await desk.cancel(canceled)).canceled
    assert len(queue.scheduler) == len(queue.scheduler._no_way) == 0


async def test_after_a_restart_a_call_without_a_way_waits_for_one_and_for_its_time(db: Database) -> None:  # noqa: F811
    before = Queue(db)
    due, scheduled, other = await wait(before, 1), await wait(before, 2, not_before=3600), await before.add(3, trunk="b")
    after = Queue(db)
    after.faults["a"] = GONE
    after.scheduler.restore(await db.calls.all_queued(), [])
    assert await later(after, 5) == {other}
    del after.faults["a"]
    assert await later(after, 3) == {due}
    assert after.scheduler.position(scheduled) is not None


async def test_the_loop_goes_on_for_the_others(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    await queue.add(1, trunk="b")
    queue.faults["b"] = GONE
    running = asyncio.create_task(queue.scheduler.run())
    other = await queue.add(2)
    async with asyncio.timeout(20):
        while not queue.calls.of_node("pbx1"):  # noqa: ASYNC110 - the scheduler's own loop, nothing tells
            await asyncio.sleep(0.01)
    running.cancel()
    await queue.calls.drain()
    assert [call.id for call in queue.calls.of_node("pbx1")] == [other]


# --- calls that another controller has had its hands on


async def test_a_call_that_was_ended_elsewhere_takes_no_place_when_its_turn_comes(db: Database) -> None:  # noqa: F811
    queue = Queue(db, tenant_x=(1000.0, 1))
    queue.usable = False
    call = await queue.add(1)
    await db.calls.commit(canceled(queued(1, "x", vars={"trunk": "a"})))
    queue.usable = True
    assert await queue.round() == set()
    assert (queue.limits.live("tenant:x"), len(queue.scheduler), len(queue.calls)) == (0, 0, 0)
    assert (await ended(queue, call)).disposition == "canceled"
    assert await queue.round() == set()
    second = await queue.add(2)
    assert await queue.round() == {second}


async def test_a_call_that_waits_in_the_database_alone_can_be_canceled(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    waits, runs = queued(1, "x", vars={"trunk": "a"}), queued(2, "x", vars={"trunk": "a"})
    for unit in (waits, runs, started(runs, "pbx9")):
        await db.calls.commit(unit)
    desk = desk_of(queue)
    assert (await desk.cancel(waits.call.id)).canceled
    assert (await ended(queue, waits.call.id)).disposition == "canceled"
    for call in (waits, runs):
        with pytest.raises(KeyError):
            await desk.cancel(call.call.id)
    assert len(queue.scheduler) == len(queue.calls) == 0


async def test_a_call_that_another_controller_began_is_let_go_with_its_places(db: Database) -> None:  # noqa: F811
    queue = Queue(db, tenant_x=(1000.0, 1))
    queue.calls.owned = lambda node: node in ("", "pbx1")
    queue.usable = False
    await queue.add(1)
    begun = started(queued(1, "x", vars={"trunk": "a"}), "pbx9")
    await db.calls.commit(begun)
    queue.usable = True
    assert await queue.round() == set()
    assert (queue.limits.live("tenant:x"), len(queue.scheduler), len(queue.calls)) == (0, 0, 0)
    assert await db.calls.get(begun.call.id) == begun.call


async def test_a_start_under_a_lease_that_was_lost_is_no_start_and_the_call_waits_on(
    db: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    queue = Queue(db, tenant_x=(1000.0, 1))
    queue.usable = False
    call = await queue.add(1)
    assert await db.leases.take("pbx1", "dead") == 1
    other = await Database.open(f"sqlite:///{tmp_path}/calls.db", migrate=False, is_dead=lambda owner: owner == "dead")
    assert await other.leases.take("pbx1", "other") == 2
    queue.usable = True
    queue.scheduler.round()
    queue.usable = False
    await queue.calls.drain()
    assert (queue.limits.live("tenant:x"), len(queue.scheduler), queue.scheduler.position(call)) == (
        0, 1, (1, queue.clock.now()),
    )  # fmt: skip
    await other.leases.release("pbx1", "other", 2)
    await other.close()
    assert await db.leases.take("pbx1", "dead") == 3
    queue.usable = True
    assert await queue.round() == {call}


# --- how many are taken in


class OneFlow(FlowBook):
    """The callback that tests tell of is the latest."""

    def latest(self, name: str) -> object:  # type: ignore[override]
        return self.version(name, CALLBACK.version)


def desk_of(queue: Queue) -> Desk:
    """A desk before this queue."""
    book = OneFlow({(CALLBACK.name, CALLBACK.version): CALLBACK})
    return Desk(queue.calls, queue.scheduler, book, queue.route, queue.clock)


def fresh(number: int, tenant: str = "x") -> Call:
    """A call that nobody has written down."""
    return queued(number, tenant, vars={"trunk": "a"}).call


@pytest.mark.parametrize(("bound", "tenant_bound", "fits"), [(1, 100, 1), (7, 100, 7), (100, 3, 6)])
async def test_of_many_at_once_as_many_are_taken_in_as_there_is_room_for(
    db: Database,  # noqa: F811
    bound: int,
    tenant_bound: int,
    fits: int,
) -> None:
    queue = Queue(db)
    queue.usable = False
    queue.scheduler.room.bound, queue.scheduler.room.tenant_bound = bound, tenant_bound
    desk = desk_of(queue)
    asked = [desk.open(fresh(number, "xy"[number % 2])) for number in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 20 - fits
    assert len(queue.scheduler) == queue.scheduler.room.taken() == len(await db.calls.all_queued()) == fits


async def test_a_place_that_was_promised_is_free_again_when_the_commit_fails(
    db: Database,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = Queue(db)
    queue.usable = False
    queue.scheduler.room.bound = 1
    desk, commit, going = desk_of(queue), db.calls.commit, asyncio.Event()

    async def full(_unit: Unit) -> None:
        await going.wait()
        raise NotSaved("the disk is full")

    monkeypatch.setattr(db.calls, "commit", full)
    refused = asyncio.create_task(desk.open(fresh(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await desk.open(fresh(2))
    going.set()
    with pytest.raises(NotSaved):
        await refused
    assert queue.scheduler.room.taken() == 0
    monkeypatch.setattr(db.calls, "commit", commit)
    await desk.open(fresh(3))
    with pytest.raises(QueueFull):
        await desk.open(fresh(4))


async def test_after_a_restart_all_that_waits_is_there_also_beyond_a_bound_that_is_lower_now(db: Database) -> None:  # noqa: F811
    before = Queue(db)
    before.usable = False
    calls = [await before.add(number) for number in range(1, 5)]
    after = Queue(db)
    after.scheduler.room.bound = 2
    after.scheduler.restore(await db.calls.all_queued(at_once=1), [])
    desk = desk_of(after)
    assert len(after.scheduler) == 4
    with pytest.raises(QueueFull):
        await desk.open(fresh(5))
    assert await after.round() == set(calls)
    await desk.open(fresh(6))
    assert await db.calls.get(call_id(6)) is not None
