"""CB10: a callback that wants an agent waits for one; exactly one is assigned, and let go when the call is over."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.agent import AGENT, WANTED, Agent
from controller.core.call import Call
from controller.core.events import Cancel
from controller.ports import NotSaved
from controller.services.agents import Agents
from controller.store.database import Database
from controller.store.errors import Unavailable
from tests.services.test_scheduler import Queue, db  # noqa: F401
from tests.store.calls import queued


class Desk:
    """A queue whose calls want agents."""

    def __init__(self, db: Database, **bounds: Any) -> None:  # noqa: F811
        self.db, self.queue = db, Queue(db, **bounds)
        self.agents = Agents(db.agents, db.calls, self.queue.calls, self.queue.scheduler, self.queue.clock)

    async def agent(self, name: str, state: Any = "on_duty", tenant: str = "x") -> str:
        self.queue.clock.seconds += 1
        now = self.queue.clock.now()
        await self.db.agents.add(Agent(name, tenant, name, f"+1415555{len(name):04d}", state, None, now), now)
        return name

    async def ask(self, number: int, agent: str | None = None, tenant: str = "x", leg: str = "caller") -> str:
        unit = queued(number, tenant, vars={"trunk": "a", WANTED: {"leg": leg, "agent": agent}})
        await self.queue.calls.open(unit)
        self.queue.scheduler.add(unit.call)
        return unit.call.id

    async def round(self) -> dict[str, str]:
        """The calls that started, each with its agent."""
        await self.agents.round()
        started = await self.queue.round()
        return {call: self.call(call).vars[AGENT] for call in started}

    def call(self, call_id: str) -> Call:
        found = self.queue.calls.get(call_id)
        assert found is not None
        return found

    async def end(self, call_id: str) -> None:
        self.queue.clock.seconds += 1
        await self.queue.calls.ask(call_id, Cancel(self.queue.clock.now()))
        await self.agents._tasks.drain()


async def test_an_agent_who_goes_on_duty_starts_the_callback_that_waits(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    bob = await desk.agent("bob", "away")
    call = await desk.ask(1)
    assert await desk.round() == {}
    assert desk.queue.scheduler.position(call) == (1, 0)
    await db.agents.change("x", bob, desk.queue.clock.now(), {"state": "on_duty"})
    assert await desk.round() == {call: bob}
    started = desk.call(call)
    assert started.vars["caller"] == "+14155550003"
    assert started.legs[0].number == "+14155550003"
    await desk.end(call)
    found = await db.agents.find("x", bob)
    assert found is not None
    assert (found.state, found.call) == ("on_duty", None)


async def test_who_is_idle_longest_is_next_and_each_has_one_call(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann, bob = await desk.agent("ann"), await desk.agent("bobby")
    calls = [await desk.ask(number) for number in (1, 2, 3)]
    assert await desk.round() == {calls[0]: ann, calls[1]: bob}
    assert desk.queue.scheduler.position(calls[2]) == (1, 0)
    await desk.end(calls[1])
    assert await desk.round() == {calls[2]: bob}
    await desk.end(calls[0])
    await desk.end(calls[2])
    fourth = await desk.ask(4)
    assert await desk.round() == {fourth: ann}


async def test_a_callback_for_one_agent_waits_for_that_one(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann, bob = await desk.agent("ann"), await desk.agent("bobby", "away")
    mine, any_one = await desk.ask(1, bob), await desk.ask(2)
    assert await desk.round() == {any_one: ann}
    await db.agents.change("x", bob, desk.queue.clock.now(), {"state": "on_duty"})
    assert await desk.round() == {mine: bob}


async def test_another_tenants_agents_are_not_ours(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann = await desk.agent("ann", tenant="y")
    call = await desk.ask(1, ann)
    await desk.ask(2)
    assert await desk.round() == {}
    await desk.end(call)
    assert desk.agents.length("x") == 1


async def test_a_canceled_callback_waits_no_more(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    call = await desk.ask(1)
    await desk.end(call)
    await desk.agent("ann")
    assert await desk.round() == {}
    assert (desk.agents.length("x"), len(desk.queue.scheduler)) == (0, 0)


async def test_after_a_kill_between_the_two_writes_the_same_agent_is_found_again(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    await desk.agent("ann")
    await desk.agent("bobby")
    call = await desk.ask(1)
    claimed = await db.agents.claim("x", call, None, 1)
    assert claimed is not None  # and here the controller dies
    after = Desk(db)
    after.queue.clock.seconds += 1000  # who is let go now has been idle the shortest
    after.queue.scheduler.restore(await db.calls.queued(10), [])
    await after.agents._let_go_of_what_is_over()
    assert await after.round() == {call: claimed.id}


async def test_an_agent_whose_call_ended_while_nobody_was_there_is_let_go(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann = await desk.agent("ann")
    over = await desk.ask(1, "nobody")
    await desk.end(over)
    assert await db.agents.claim("x", over, ann, 1) is not None
    await desk.agents._let_go_of_what_is_over()
    call = await desk.ask(2)
    assert await desk.round() == {call: ann}


async def test_an_agent_whose_call_is_just_beginning_somewhere_is_left_alone(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann = await desk.agent("ann")
    assert await db.agents.claim("x", "01JD3Y8Q4ZK5T0M6W9RB2XHCVE", ann, 1) is not None
    await desk.agents._let_go_of_what_is_over()
    assert (await db.agents.list("x")).items[0].call == "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"


async def test_limits_hold_an_assigned_call_in_its_line(db: Database) -> None:  # noqa: F811
    desk = Desk(db, tenant_x=(1000.0, 1))
    await desk.agent("ann")
    await desk.agent("bobby")
    first, second = await desk.ask(1), await desk.ask(2)
    assert set(await desk.round()) == {first}
    await desk.end(first)
    assert set(await desk.round()) == {second}


async def test_many_ask_at_once_and_no_agent_gets_two(db: Database) -> None:  # noqa: F811
    for number in range(4):
        await db.agents.add(Agent(f"a{number}", "x", "n", "+14155550101", "on_duty", None, 1), number)
    found = await asyncio.gather(*(db.agents.claim("x", f"call{number}", None, 1) for number in range(10)))
    taken = [agent.id for agent in found if agent is not None]
    assert sorted(taken) == ["a0", "a1", "a2", "a3"]


class Counting:
    """The agents' store, and how often each thing was asked of it."""

    def __init__(self, db: Database) -> None:  # noqa: F811
        self._agents, self.asked = db.agents, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._agents, name)


async def test_ten_thousand_that_wait_for_one_agent_cost_no_more_than_one(db: Database) -> None:  # noqa: F811
    """What is asked of the database goes by the agents who are free: nothing for a call that waits."""
    desk = Desk(db)
    desk.queue.scheduler.room.bound = desk.queue.scheduler.room.tenant_bound = 20_000
    bob, ann = await desk.agent("bobby", "away"), await desk.agent("ann", "away")
    store = desk.agents._store = Counting(db)
    calls = [await desk.ask(number, bob) for number in range(1, 21)]
    for number in range(21, 10_001):  # as the queue has them after a start
        call = queued(number, "x", vars={"trunk": "a", WANTED: {"leg": "caller", "agent": bob}}).call
        desk.queue.calls.adopt(call)
        desk.queue.scheduler.add(call)
    assert (desk.agents.length("x"), desk.queue.scheduler.position(calls[-1])) == (10_000, (20, 0))
    for _ in range(5):
        assert await desk.round() == {}
    assert store.asked == {"free": 5, "known": 1}
    assert (await db.agents.free([], [bob, ann]), await db.agents.free(["x"], [])) == ([], [])
    any_one = await desk.ask(10_001)
    assert desk.queue.scheduler.position(any_one) == (1, 0)
    for agent in (bob, ann):
        await db.agents.change("x", agent, desk.queue.clock.now(), {"state": "on_duty"})
    store.asked.clear()
    assert await desk.round() == {calls[0]: bob, any_one: ann}
    assert store.asked == {"free": 1, "claim": 2}
    assert desk.queue.scheduler.position(calls[1]) == (1, 0)
    await desk.end(calls[0])
    assert await desk.round() == {calls[1]: bob}


async def test_those_on_duty_whom_nobody_wants_are_not_read(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    bob, ann = await desk.agent("bobby", "away"), await desk.agent("ann")
    answers: list[Any] = []

    class Reading(Counting):
        async def free(self, *asked: Any) -> Any:
            answers.append(await db.agents.free(*asked))
            return answers[-1]

    desk.agents._store = Reading(db)
    mine = await desk.ask(1, bob)
    assert await desk.round() == {}
    assert answers == [[]]
    await db.agents.change("x", bob, desk.queue.clock.now(), {"state": "on_duty"})
    any_one = await desk.ask(3)
    assert await desk.round() == {mine: bob, any_one: ann}
    assert answers[1:] == [[("x", ann), ("x", bob)]]


async def test_while_the_database_cannot_be_read_nobody_is_assigned_and_then_all_goes_on(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    ann, call = await desk.agent("ann"), await desk.ask(1)
    assert await db.agents.claim("x", call, ann, 1) is not None  # and here the controller died
    await desk.ask(2)

    class Away(Counting):
        async def assigned(self) -> Any:
            self.asked["assigned"] += 1
            if self.asked["assigned"] == 1:
                raise Unavailable("no connection")
            return await db.agents.assigned()

        async def free(self, *asked: Any) -> Any:
            self.asked["free"] += 1
            if self.asked["free"] == 1:
                raise Unavailable("no connection")
            return await db.agents.free(*asked)

    desk.agents._store = store = Away(db)
    running = asyncio.create_task(desk.agents.run())
    async with asyncio.timeout(30):
        while AGENT not in desk.call(call).vars or store.asked["free"] < 2:
            desk.agents.look()
            await asyncio.sleep(0)
            assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert (desk.call(call).vars[AGENT], store.asked["assigned"]) == (ann, 2)


async def test_who_waits_for_an_agent_who_is_removed_is_given_up(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    bob = await desk.agent("bobby", "away")
    mine, any_one = await desk.ask(1, bob), await desk.ask(2)
    await db.agents.remove("x", bob, 1)
    desk.agents.gone("x", bob)
    desk.agents.gone("x", "nobody")
    await desk.queue.calls.drain()
    over = await db.calls.get(mine)
    assert over is not None
    assert (over.disposition, over.hangup_by, over.legs) == ("failed", "platform", ())
    assert (desk.agents.length("x"), len(desk.queue.scheduler)) == (1, 1)
    assert desk.queue.scheduler.position(any_one) == (1, 0)


async def test_who_waits_longest_is_first_whether_for_this_agent_or_for_any(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    first, mine, later = await desk.ask(1), await desk.ask(2, "ann"), await desk.ask(3)
    ann = await desk.agent("ann")
    for call in (first, mine, later):
        assert await desk.round() == {call: ann}
        await desk.end(call)


async def test_a_claim_whose_answer_was_lost_is_found_again(db: Database) -> None:  # noqa: F811
    """The agent's row names the call, and we were told that nothing was saved: nobody else may get either."""
    desk = Desk(db)
    ann, call = await desk.agent("ann"), await desk.ask(1)

    class Lost(Counting):
        async def claim(self, *asked: Any) -> Any:
            await db.agents.claim(*asked)
            raise NotSaved("the answer was lost")

    desk.agents._store = Lost(db)
    with pytest.raises(NotSaved):
        await desk.agents.round()
    desk.agents._store = db.agents
    assert await desk.round() == {call: ann}


async def test_calls_that_must_wait_for_their_hours_hold_up_nobody(db: Database) -> None:  # noqa: F811
    desk = Desk(db)
    early, open_now = await desk.ask(1), await desk.ask(2)
    desk.queue.scheduler.may_start = lambda call, now: now + 60_000 if call.id == early else now
    ann = await desk.agent("ann")
    assert await desk.round() == {open_now: ann}
    place, when = desk.queue.scheduler.position(early) or (None, 0)
    assert (place, when > desk.queue.clock.now()) == (0, True)
    await desk.end(open_now)
    assert await desk.round() == {}
    desk.queue.scheduler.may_start = lambda _call, now: now
    desk.queue.clock.seconds += 61
    await desk.queue.round()
    assert await desk.round() == {early: ann}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["ask", "on", "away", "end", "round"]), max_size=30))
def test_whatever_happens_an_agent_has_one_call_and_a_call_one_agent(
    tmp_path_factory: pytest.TempPathFactory, acts: Any
) -> None:
    async def live() -> None:
        database = await Database.open(f"sqlite:///{tmp_path_factory.mktemp('agents')}/a.db")
        await database.tenants.add("x", "x", 1)
        desk = Desk(database)
        desk.queue.scheduler.room.bound = desk.queue.scheduler.room.tenant_bound = 100
        names, number, live = [await desk.agent("ann"), await desk.agent("bobby")], 0, set[str]()
        for place, act in enumerate(acts):
            if act == "ask":
                number += 1
                await desk.ask(number, names[number % 2] if number % 3 == 0 else None)
            elif act == "round":
                live |= set(await desk.round())
            elif act == "end" and live:
                await desk.end(live.pop())
            elif act in ("on", "away"):
                state = "on_duty" if act == "on" else "away"
                await database.agents.change("x", names[place % 2], desk.queue.clock.now(), {"state": state})
            agents = (await database.agents.list("x")).items
            assert {agent.call for agent in agents if agent.call} == live
            assert {agent.id for agent in agents if agent.call} == {desk.call(call).vars[AGENT] for call in live}
        await database.close()

    asyncio.run(live())
