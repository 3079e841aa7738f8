"""CB4, CB6: calls that wait for their time, that come too late, that are put off by a rule; attempts of a retry plan."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call, Retry
from controller.core.events import Cancel
from controller.services.room import QueueFull
from controller.store.database import Database
from tests.services.test_scheduler import Queue, db  # noqa: F401
from tests.store.calls import call_id, queued


async def wait(queue: Queue, number: int, **changes: Any) -> str:
    """A call with times relative to now (s)."""
    now = queue.clock.now()
    times = {name: now + round(1000 * changes.pop(name)) for name in ("not_before", "not_after") if name in changes}
    unit = queued(number, "x", vars={"trunk": "a"}, **times, **changes)
    await queue.calls.open(unit)
    queue.scheduler.add(unit.call)
    return unit.call.id


async def ended(queue: Queue, call: str) -> Call:
    """A call as it is stored."""
    await queue.calls.drain()
    found = await queue.db.calls.get(call)
    assert found is not None
    return found


async def test_a_scheduled_call_starts_at_its_time_and_not_before(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    call = await wait(queue, 1, not_before=60)
    other = await wait(queue, 2)
    assert queue.scheduler.position(call) == (0, queue.clock.now() + 60_000)
    assert await queue.round() == {other}
    queue.clock.seconds += 59.9
    assert await queue.round() == set()
    queue.clock.seconds += 0.2
    assert await queue.round() == {call}
    assert queue.scheduler.position(call) is None


async def test_the_scheduler_wakes_in_time_for_what_is_due(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    await wait(queue, 1, not_before=0.25)
    assert queue.scheduler.round() == pytest.approx(0.25, abs=0.01)


async def test_what_is_too_late_is_given_up_wherever_it_waits(db: Database) -> None:  # noqa: F811
    queue = Queue(db, tenant_x=(1000.0, 1))
    running = await wait(queue, 1)
    assert await queue.round() == {running}
    crowded = await wait(queue, 2, not_after=10)
    scheduled = await wait(queue, 3, not_before=5, not_after=10)
    queue.clock.seconds += 10.1
    assert await queue.round() == set()
    for call in (crowded, scheduled):
        stored = await ended(queue, call)
        assert (stored.disposition, stored.hangup_by, stored.canceled_by) == ("canceled", "platform", "not_after")
    assert len(queue.scheduler) == 0


async def test_a_call_that_has_started_is_not_given_up(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    call = await wait(queue, 1, not_after=10)
    assert await queue.round() == {call}
    queue.clock.seconds += 11
    await queue.round()
    assert (await ended(queue, call)).ended_at is None


async def test_after_a_restart_what_is_due_starts_and_what_is_too_late_does_not(db: Database) -> None:  # noqa: F811
    before = Queue(db)
    due = await wait(before, 1, not_before=5)
    late = await wait(before, 2, not_before=5, not_after=6)
    coming = await wait(before, 3, not_before=60)
    after = Queue(db)
    after.clock.seconds += 30
    after.scheduler.restore(await db.calls.queued(100), [])
    assert await after.round() == {due}
    assert (await ended(after, late)).canceled_by == "not_after"
    assert after.scheduler.position(coming) is not None


async def test_a_rule_puts_a_call_off_or_forbids_it(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    opens = queue.clock.now() + 3_600_000
    queue.scheduler.may_start = lambda call, now: None if call.vars.get("trunk") == "b" else max(now, opens)
    put_off, last = await wait(queue, 1), await wait(queue, 2, not_after=7200)
    too_late = await wait(queue, 3, not_after=60)
    forbidden = await queue.add(4, trunk="b")
    assert await queue.round() == set()
    assert queue.scheduler.position(put_off) == (0, opens)
    for call in (too_late, forbidden):
        assert (await ended(queue, call)).disposition == "blocked"
    queue.clock.seconds += 3601
    assert await queue.round() == {put_off, last}


async def test_scheduled_calls_count_against_the_queues_bound(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    calls = [await wait(queue, number, not_before=60) for number in range(1, 5)]
    with pytest.raises(QueueFull):
        queue.scheduler.room.check("x")
    await queue.calls.ask(calls[0], Cancel(queue.clock.now()))
    queue.scheduler.room.check("x")


async def fail(queue: Queue, call: str) -> None:
    """The caller's trunk is congested."""
    await queue.calls.ask(call, ev.LegEnded(queue.clock.now(), ids.leg_id(call, 1), 34, 503, "remote"))


async def test_another_attempt_waits_its_backoff_and_starts_once(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    plan = Retry((call_id(50), call_id(51)), 60_000, ("congestion",))
    first = await wait(queue, 1, retry=plan)
    assert await queue.round() == {first}
    await fail(queue, first)
    assert queue.scheduler.latest(first) == call_id(50)
    assert await queue.round() == set()
    queue.clock.seconds += 61
    assert await queue.round() == {call_id(50)}
    await fail(queue, call_id(50))
    third = await ended(queue, call_id(51))
    assert (third.attempt, third.retry_of, third.plan) == (3, call_id(50), first)
    queue.clock.seconds += 61
    assert await queue.round() == {call_id(51)}
    await fail(queue, call_id(51))
    assert queue.scheduler.latest(first) is None
    assert len(await db.calls.queued(10)) == 0


async def test_a_restart_during_the_backoff_neither_loses_nor_doubles_the_attempt(db: Database) -> None:  # noqa: F811
    queue = Queue(db)
    first = await wait(queue, 1, retry=Retry((call_id(50),), 60_000, ("congestion",)))
    await queue.round()
    await fail(queue, first)
    after = Queue(db)
    after.scheduler.restore(await db.calls.queued(100), await db.calls.live("pbx1"))
    assert after.scheduler.latest(first) == call_id(50)
    assert await after.round() == set()
    after.clock.seconds += 61
    assert await after.round() == {call_id(50)}
    assert await after.round() == set()
