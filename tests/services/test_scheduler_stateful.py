"""The queue under a random life: limits are never exceeded, nobody starves, no slot leaks, no call is lost and no more are
taken in than there is room for, whatever ends, fails or is killed, also when ways are gone for a while."""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.core import ids
from controller.core.call import Call, Retry
from controller.core.events import Cancel, LegEnded
from controller.services.room import QueueFull
from controller.services.scheduler import WAY_BACK_S, NoRoute
from controller.store.database import Database
from tests.services.test_scheduler import Queue
from tests.services.test_scheduler_faults import desk_of
from tests.store.calls import call_id, queued

TENANTS = ("x", "y", "z")
BOUNDS: dict[str, tuple[float, int]] = {
    "tenant_x": (2.0, 2),
    "tenant_y": (1000.0, 2),
    "trunk_a": (1000.0, 3),
    "trunk_b": (1.0, 2),
}
ROOM, TENANT_ROOM = 12, 8
OWN: dict[str, tuple[float | None, int | None]] = {"x": BOUNDS["tenant_x"], "y": BOUNDS["tenant_y"]}
"""The same of tenants, as an operator sets them."""


class Life(RuleBasedStateMachine):
    """One queue, its calls, and a clock."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pb-life-"))
        shutil.copy(self.template, self.folder / "calls.db")
        self.loop = asyncio.new_event_loop()
        self.bound = ROOM
        self.gone: dict[str, float] = {}
        self.run(self._open())
        self.number = 0
        self.starts: list[tuple[float, str, str]] = []
        self.trunk_of: dict[str, str] = {}
        self.missed: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        self.own: dict[str, tuple[float | None, int | None]] = {}

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        self.db = await Database.open(f"sqlite:///{self.folder}/calls.db", migrate=False)
        self.queue = self._queue()

    def _queue(self) -> Queue:
        queue = Queue(self.db, **BOUNDS)
        queue.scheduler.room.bound, queue.scheduler.room.tenant_bound = self.bound, TENANT_ROOM
        queue.faults = {trunk: NoRoute("callee") for trunk in self.gone}
        queue.limits.own("tenant", {**OWN, **getattr(self, "own", {})})
        return queue

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.db.close())
            self.loop.close()
            shutil.rmtree(self.folder)

    # --- what happens

    @rule(
        tenant=st.sampled_from(TENANTS),
        trunk=st.sampled_from("ab"),
        before=st.sampled_from((None, 1, 30)),
        after=st.sampled_from((None, 2, 60)),
        count=st.integers(1, 6),
        again=st.booleans(),
    )
    def ask(self, tenant: str, trunk: str, before: int | None, after: int | None, count: int, again: bool) -> None:
        """So many callbacks at once."""
        now = self.queue.clock.now()
        times: dict[str, Any] = {"not_before": before and now + before * 1000, "not_after": after and now + after * 1000}
        self.run(self._ask([self._new(tenant, trunk, again, times) for _ in range(count)], trunk))

    def _new(self, tenant: str, trunk: str, again: bool, times: dict[str, Any]) -> Call:
        self.number += 1
        retry = Retry((call_id(10_000 + self.number),), 1000, ("congestion",)) if again else None
        call = queued(self.number, tenant, vars={"trunk": trunk}, retry=retry, **times).call
        for attempt in (call.id, *(retry.ids if retry else ())):
            self.trunk_of[attempt] = trunk
        return call

    async def _ask(self, calls: list[Call], trunk: str) -> None:
        room, tenant = self.queue.scheduler.room, calls[0].tenant
        free = max(0, min(room.bound - room.taken(), TENANT_ROOM - room._per_tenant[tenant]))
        had, desk = set(room), desk_of(self.queue)
        answers = await asyncio.gather(*(desk.open(call) for call in calls), return_exceptions=True)
        waiting, full = set(room) - had, sum(isinstance(answer, QueueFull) for answer in answers)
        assert len(waiting) <= free
        assert not full or len(waiting) == free, "refused while there was room"
        begun = [call for call in self.queue.calls.of_node("pbx1") if call.id in {one.id for one in calls}]
        assert len(begun) + len(waiting) + full == len(calls) or trunk in self.gone
        assert all(isinstance(answer, Call | QueueFull | NoRoute) for answer in answers)
        self.starts += [(self.queue.clock.seconds, call.tenant, trunk) for call in begun]

    @rule(bound=st.sampled_from((1, 4, ROOM)))
    def an_operator_bounds_the_queue(self, bound: int) -> None:
        self.bound = self.queue.scheduler.room.bound = bound

    @rule(trunk=st.sampled_from("ab"))
    def a_node_comes_or_goes(self, trunk: str) -> None:
        """The only one that its trunk is on."""
        if self.gone.pop(trunk, None) is None:
            self.gone[trunk] = self.queue.clock.seconds
        self.queue.faults = {gone: NoRoute("callee") for gone in self.gone}

    @rule(most=st.sampled_from((None, 1, 2, 3)))
    def an_operator_bounds_a_tenant(self, most: int | None) -> None:
        self.own = {} if most is None else {"z": (None, most)}
        self.queue.limits.own("tenant", {**OWN, **self.own})

    @rule(seconds=st.sampled_from((0.1, 0.5, 1.0, 7.0, 61.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.queue.clock.seconds += seconds

    @rule()
    def let_start(self) -> None:
        self.run(self._let_start())

    async def _let_start(self) -> None:
        waiting = {line: list(these) for line, these in self.queue.scheduler._lines.pairs()}
        could, had, aside = self._ready_lines(), set(self.queue.scheduler.room), dict(self.queue.scheduler._no_way)
        started = await self.queue.round()
        await self._ended_truly(had - started - set(self.queue.scheduler.room), aside)
        self._turns(could, started)
        now = self.queue.clock.seconds
        for each in started:
            call = self.queue.calls.get(each)
            assert call is not None
            assert call.not_before is None or call.not_before <= self.queue.clock.now()
            assert call.not_after is None or call.not_after >= self.queue.clock.now()
            self.starts.append((now, call.tenant, self.trunk_of[each]))
        for calls in waiting.values():  # first in, first out
            places = [calls.index(call_id) for call_id in calls if call_id in started]
            assert places == list(range(len(places))) or any(self.queue.calls.get(call) is None for call in calls)
        self._nobody_starves(started)
        live = Counter(call.tenant for call in self.queue.calls.of_node("pbx1"))
        if any(call.tenant == "z" for call in map(self.queue.calls.get, started) if call is not None):
            assert live["z"] <= (self.own.get("z", (None, None))[1] or 1000), "who lived before keeps its place; none is added"

    async def _ended_truly(self, over: set[str], aside: dict[str, float]) -> None:
        """What waits no more and has not started was too late, or has waited aside for long and still has no way."""
        for each in over:
            stored = await self.db.calls.get(each)
            assert stored is not None
            assert stored.ended
            if stored.disposition == "failed":
                assert self.trunk_of[each] in self.gone
                assert self.queue.clock.seconds >= aside[each] + WAY_BACK_S
            else:
                assert stored.canceled_by == "not_after"

    def _ready_lines(self) -> set[tuple[str, str]]:
        """Trunk and tenant of the lines whose first call waits for its trunk alone."""
        limits, now = self.queue.limits, self.queue.clock.monotonic()
        return {
            (trunk, tenant)
            for (tenant, (trunk,)), line in self.queue.scheduler._lines.pairs()
            if line and limits.wait((f"tenant:{tenant}",), now) == 0
        }

    def _turns(self, could: set[tuple[str, str]], started: set[str]) -> None:
        """While one tenant could start on a trunk and does not, no other gets there more than two turns."""
        began = Counter((self.trunk_of[call], self.queue.calls.get(call).tenant) for call in started)  # type: ignore[union-attr]
        for line in list(self.missed):
            if line not in could or began[line]:
                del self.missed[line]
        for line in could:
            if not began[line]:
                missed = self.missed.setdefault(line, Counter())
                missed.update({other: count for other, count in began.items() if other[0] == line[0]})
                assert max(missed.values(), default=0) <= 2, "one tenant is passed over"

    def _nobody_starves(self, started: set[str]) -> None:
        """What waits still could not have started; and of those who share a trunk none got two more than another."""
        scheduler, limits, now = self.queue.scheduler, self.queue.limits, self.queue.clock.monotonic()
        for _, line in scheduler._lines.pairs():
            call = self.queue.calls.get(line[0])
            assert call is not None
            names = (f"tenant:{call.tenant}", "node:pbx1", f"trunk:{self.trunk_of[call.id]}")
            assert limits.wait(names, now) != 0
        got = Counter((self.trunk_of[call], self.queue.calls.get(call).tenant) for call in started)  # type: ignore[union-attr]
        for trunk in "ab":
            free = [
                tenant
                for (tenant, trunks) in scheduler._lines.each()
                if trunks == (trunk,) and limits.wait((f"tenant:{tenant}",), now) == 0
            ]
            counts = [got[trunk, tenant] for tenant in free]
            others = [count for (on, _), count in got.items() if on == trunk]
            assert not counts or not others or max(others) - min(counts) <= 1

    @rule(pick=st.integers(0, 1000))
    def one_ends(self, pick: int) -> None:
        live = sorted(call.id for call in self.queue.calls.of_node("pbx1"))
        if live:
            self.run(self.queue.calls.ask(live[pick % len(live)], Cancel(self.queue.clock.now())))

    @rule(pick=st.integers(0, 1000))
    def one_fails(self, pick: int) -> None:
        """Where its plan says so another attempt waits, however full the queue is."""
        live = sorted(call.id for call in self.queue.calls.of_node("pbx1"))
        if live:
            call_id = live[pick % len(live)]
            self.run(self.queue.calls.ask(call_id, LegEnded(self.queue.clock.now(), ids.leg_id(call_id, 1), 34, 503, "remote")))

    @rule(pick=st.integers(0, 1000))
    def one_is_canceled(self, pick: int) -> None:
        waiting = sorted(self.queue.scheduler.room)
        if waiting:
            self.run(self.queue.calls.ask(waiting[pick % len(waiting)], Cancel(self.queue.clock.now())))

    @rule()
    def the_controller_is_killed(self) -> None:
        self.run(self._restart())

    async def _restart(self) -> None:
        clock = self.queue.clock
        await self.queue.calls.drain()
        self.queue = self._queue()
        self.queue.clock.seconds = clock.seconds
        self.queue.scheduler._clock = self.queue.clock
        live = await self.db.calls.live("pbx1")
        for call in live:
            self.queue.calls.adopt(call)
        self.queue.scheduler.restore(await self.db.calls.all_queued(at_once=3), live)
        self.missed.clear()
        self.starts.clear()  # the buckets begin anew

    # --- what must be true

    @invariant()
    def limits_are_kept(self) -> None:
        if not hasattr(self, "queue"):
            return
        live = self.queue.calls.of_node("pbx1")
        per = Counter(f"tenant:{call.tenant}" for call in live) + Counter(f"trunk:{self.trunk_of[call.id]}" for call in live)
        for name, (rate, most) in BOUNDS.items():
            name = name.replace("_", ":")
            assert per[name] <= most
            assert self.queue.limits.live(name) == per[name], f"a slot of {name} leaked"
            times = [at for at, tenant, trunk in self.starts if name in (f"tenant:{tenant}", f"trunk:{trunk}")]
            for first in range(len(times)):
                for last in range(first, len(times)):
                    allowed = max(1.0, rate) + rate * (times[last] - times[first])
                    assert last - first + 1 <= allowed + 1e-6

    @invariant()
    def what_waits_waits_once_and_is_counted(self) -> None:
        if not hasattr(self, "queue"):
            return
        scheduler = self.queue.scheduler
        lined = [call for _, line in scheduler._lines.pairs() for call in line]
        later = [call for call in scheduler.room if call in scheduler._later]
        assert sorted(lined + later) == sorted(scheduler.room)
        assert len(scheduler) == scheduler.room.taken() == sum(scheduler.room._per_tenant.values())
        assert set(scheduler._no_way) <= set(later)
        assert {call.id for call in self.run(self.db.calls.all_queued())} == set(scheduler.room)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_the_queue_lives_through_anything(tmp_path: Path) -> None:
    async def prepare() -> None:
        database = await Database.open(f"sqlite:///{tmp_path}/template.db")
        for tenant in TENANTS:
            await database.tenants.add(tenant, tenant, 1)
        await database.close()

    asyncio.run(prepare())
    Life.template = tmp_path / "template.db"
    checked: Any = Life.TestCase
    checked.settings = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
    checked().runTest()
