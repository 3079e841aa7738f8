"""The queue: which waiting call starts next, and where.

Calls that want the same way out (tenant and trunks) wait in one line, first in first out; the lines take turns, so no tenant
waits for another's crowd and a full trunk holds up only its own line.  A call starts when its tenant, its trunks and a node
allow it.  The queue is bounded; its truth is in the database (status ``queued``), this is its order in memory.

A call with ``not_before`` (scheduled, or another attempt of a retry plan) waits for its time first and joins its line then; one
whose ``not_after`` has passed is given up, also when that was while no controller ran.

No call holds up another.  One to whose number no trunk of any node leads any more (its node was removed, say) leaves its line
and waits aside for a way to come back, for ``WAY_BACK_S``; then it ends as failed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from controller.core.agent import wanted
from controller.core.call import Call, CallStatus
from controller.core.events import Cancel, Start
from controller.ports import Clock
from controller.services.calls import Calls
from controller.services.limits import Limits
from controller.services.lines import LineKey, Lines
from controller.services.room import Room
from controller.services.timetable import Timetable

log = structlog.get_logger(__name__)

IDLE_S = 1.0
"""How long the scheduler sleeps when nothing tells it to look."""
WAY_BACK_S = 60.0
"""How long a call whose time has come waits for a way to its numbers: as long as a node may be away."""
AGAIN_MS = 2000
"""How often one that waits aside is looked at."""


class NoRoute(Exception):
    """No trunk leads to a number; ``leg`` names whose."""

    def __init__(self, leg: str) -> None:
        super().__init__(f"no trunk leads to the {leg}'s number")
        self.leg = leg


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call may go: the node and the trunk of each leg name."""

    node: str
    routes: Mapping[str, str]


Router = Callable[[Call], list[Place]]
"""The places that could carry a call, the best first; empty when there is none now.  Raises NoRoute."""

MayStart = Callable[[Call, int], int | None]
"""Asked directly before a call starts: the time (ms) from which it may, or None when it may not at all (calling hours)."""


class Scheduler:
    """Starts queued calls within the limits."""

    def __init__(
        self, calls: Calls, limits: Limits, router: Router, clock: Clock, bound: int, tenant_bound: int, tenant_rate: float
    ) -> None:
        self._calls, self._limits, self._router, self._clock = calls, limits, router, clock
        self.room = Room(bound, tenant_bound, tenant_rate, lambda tenant: limits.limit(f"tenant:{tenant}").rate)
        self._lines = Lines()
        self._wake = asyncio.Event()
        self._later, self._expiry = Timetable(), Timetable()
        self._no_way: dict[str, float] = {}
        self._plans: dict[str, str] = {}
        self.may_start: MayStart = lambda _call, now: now
        self.wait_first: Callable[[Call], bool] = lambda _call: False
        self.elsewhere: Callable[[Call], tuple[int, int] | None] = lambda _call: None
        calls.watch(self.committed)
        calls.opened, calls.not_begun = self._follow, self._not_begun

    def __len__(self) -> int:
        return len(self.room)

    def add(self, call: Call) -> None:
        """A call waits.  That there is a way to its numbers was asked before it was written down."""
        if call.id in self.room:
            return
        self._plan(call)
        self.room.enter(call.id, call.tenant)
        if call.not_after is not None:
            self._expiry.put(call.id, call.not_after)
        if call.not_before is not None and call.not_before > self._clock.now():
            self._later.put(call.id, call.not_before)
        elif not self.wait_first(call):
            self._join(call)
        self._wake.set()

    def _join(self, call: Call) -> None:
        """Its time has come: it joins its line, or waits aside."""
        try:
            self._line_up(call.id, self._line_of(call))
        except Exception as fault:
            self._set_aside(call.id, fault)

    def line_up(self, call: Call) -> None:
        """The agent whom a call waited for is assigned: it joins its line, or ends where no way leads to the agent."""
        try:
            if call.id in self.room and call.id not in self._lines:
                self._line_up(call.id, self._line_of(call))
        except NoRoute:
            self._calls.tell(call.id, Cancel(self._clock.now(), by="platform", disposition="failed"))
        self._wake.set()

    def at_once(self, call: Call) -> Start | None:
        """How a new call starts now, its places taken; None if it must wait, or others do."""
        wall = self._clock.now()
        when = self.may_start(call, wall)
        if self._lines or wanted(call) or (call.not_before or 0) > wall or when is None or when > wall:
            return None
        now = self._clock.monotonic()
        for place in self._router(call):
            names = _names(call.tenant, place)
            if self._limits.wait(names, now) == 0:
                self._limits.take(call.id, names)
                self._plan(call)
                return Start(wall, place.node, place.routes)
        return None

    def call_off(self, call_id: str) -> None:
        """A call that was to start at once never was."""
        self._plans.pop(call_id, None)
        if self._limits.give_back(call_id):
            self._wake.set()

    def _not_begun(self, call_id: str) -> None:
        """The start of a call was not to be: it holds no places, and waits here no more."""
        self._leave(call_id)
        self.call_off(call_id)

    def _line_up(self, call_id: str, key: LineKey) -> None:
        self._lines.join(call_id, key)
        self._no_way.pop(call_id, None)

    def _set_aside(self, call_id: str, fault: Exception) -> None:
        """A call that cannot be started keeps no other from it.  After a fault of ours it is tried again and again."""
        self._lines.leave(call_id)
        self._limits.give_back(call_id)
        now = self._clock.monotonic()
        if not isinstance(fault, NoRoute):
            log.error("a waiting call cannot be started", call=call_id, exc_info=fault)
        elif call_id not in self._no_way:
            self._no_way[call_id] = now
            log.warning("no way leads there any more", call=call_id, leg=fault.leg, ended_in_s=WAY_BACK_S)
        elif now >= self._no_way[call_id] + WAY_BACK_S:
            log.error("no way has come back, the call is ended", call=call_id, leg=fault.leg)
            self._leave(call_id)
            self._calls.tell(call_id, Cancel(self._clock.now(), by="platform", disposition="failed"))
            return
        self._later.put(call_id, self._clock.now() + AGAIN_MS)

    def _follow(self, call: Call) -> None:
        """Another attempt was written down, or a call of which that was in doubt."""
        self.hold(call) if call.node else self.add(call)

    def _plan(self, call: Call) -> None:
        if call.retry is not None or call.plan is not None:
            self._plans[call.plan or call.id] = call.id

    def latest(self, plan: str) -> str | None:
        """The attempt of a retry plan that waits or lives; ``plan``: its first call."""
        return self._plans.get(plan)

    def hold(self, call: Call) -> None:
        """A call that lives without having waited here (it came in, or we have just started) holds its places."""
        self._plan(call)
        self._limits.hold(call.id, _names(call.tenant, Place(call.node, call.routes)))

    def restore(self, queued: Iterable[Call], live: Iterable[Call]) -> None:
        """After a start: calls that wait, and calls that live and hold their places."""
        for call in live:
            self.hold(call)
        for call in queued:
            self._calls.adopt(call)
            self._follow(call)

    def position(self, call_id: str) -> tuple[int, int] | None:
        """Place in its line from 1, and the estimated start (ms); None for a call that does not wait here.

        Place 0: it has none in a line yet, for its time has not come; also its time is 0 while no way leads to its numbers."""
        if call_id in self._no_way:
            return 0, 0
        later = self._later.when(call_id)
        if later is not None:
            return 0, later
        found = self._lines.place(call_id)
        if found is None:
            call = self._calls.get(call_id) if call_id in self.room else None
            return None if call is None else self.elsewhere(call)
        return found[1], self._start_of(*found)

    def outlook(self, call: Call) -> tuple[int, int]:
        """What ``position`` would say of this call if it were added now.  Raises NoRoute."""
        key = self._line_of(call)
        if call.not_before is not None and call.not_before > self._clock.now():
            return 0, call.not_before
        if (elsewhere := self.elsewhere(call)) is not None:
            return elsewhere
        place = self._lines.length(key) + 1
        return place, self._start_of(key, place)

    def _line_of(self, call: Call) -> LineKey:
        return call.tenant, tuple(sorted({trunk for place in self._router(call) for trunk in place.routes.values()}))

    def _start_of(self, key: LineKey, place: int) -> int:
        rate = min([self._limits.limit(f"tenant:{key[0]}").rate, *(self._limits.limit(f"trunk:{t}").rate for t in key[1])])
        return self._clock.now() + round(1000 * (place - 1) / rate)

    def look(self) -> None:
        """Something changed: a node came up, a limit was raised."""
        self._wake.set()

    async def run(self) -> None:
        """Start calls as they may, until cancelled."""
        while True:
            try:
                pause = self.round()
            except Exception:  # a fault of ours in one call must not keep all others waiting for ever
                log.exception("the queue: a round failed")
                pause = IDLE_S
            if pause > 0:
                try:
                    await asyncio.wait_for(self._wake.wait(), min(pause, IDLE_S))
                except TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)
            self._wake.clear()

    def round(self) -> float:
        """Let each line start one call if it may; how long to wait before looking again (0: at once)."""
        pause, now = self._look_at_the_clock(), self._clock.monotonic()
        for key in self._lines.each():
            first = self._lines.first(key)
            wait = None if first is None else self._turn(first, now)
            if wait is not None:
                pause = min(pause, wait)
            self._lines.had_its_turn(key, used=wait == 0)
        return pause

    def _turn(self, call_id: str, now: float) -> float | None:
        """A line's first call starts if it may; whatever is wrong with it, the other lines have their turn."""
        try:
            return self._start_first(call_id, now)
        except Exception as fault:
            self._set_aside(call_id, fault)
            return 0.0 if isinstance(fault, NoRoute) else IDLE_S

    def _look_at_the_clock(self) -> float:
        """Give up what is too late, line up what is due; seconds until the next such time."""
        now = self._clock.now()
        for call_id in self._expiry.due(now):
            self._leave(call_id)
            self._calls.tell(call_id, Cancel(now, by="not_after"))
        for call_id in self._later.due(now):
            call = self._calls.get(call_id)
            if call is None:
                self._leave(call_id)
            elif not self.wait_first(call):
                self._join(call)
        times = [time for time in (self._expiry.next(), self._later.next()) if time is not None]
        return min(IDLE_S, max(0.001, (min(times) - now) / 1000)) if times else IDLE_S

    def is_to_wait(self, call: Call) -> bool:
        """True for a call that may not start now: it is put off, or given up."""
        now = self._clock.now()
        when = self.may_start(call, now)
        if when is not None and when <= now:
            return False
        if when is None or (call.not_after is not None and when > call.not_after):
            self._leave(call.id)
            self._calls.tell(call.id, Cancel(now, by="policy", disposition="blocked"))
        else:
            self._lines.leave(call.id)
            self._later.put(call.id, when)
        return True

    def _start_first(self, call_id: str, now: float) -> float | None:
        call = self._calls.get(call_id)
        if call is None or call.status is not CallStatus.queued:
            self._leave(call_id)
            return 0.0
        if self.is_to_wait(call):
            return 0.0
        shortest: float | None = None
        for place in self._router(call):
            names = _names(call.tenant, place)
            wait = self._limits.wait(names, now)
            if wait == 0:
                self._limits.take(call.id, names)
                self._calls.tell(call.id, Start(self._clock.now(), place.node, place.routes))
                self._leave(call.id)
                return 0.0
            if wait is not None:
                shortest = wait if shortest is None else min(shortest, wait)
        return shortest

    def _leave(self, call_id: str) -> None:
        """It waits no more, for anything."""
        self.room.leave(call_id)
        self._no_way.pop(call_id, None)
        self._expiry.drop(call_id)
        self._later.drop(call_id)
        self._lines.leave(call_id)

    def committed(self, _before: Call, after: Call, _facts: object) -> None:
        """Watches the calls: an ended one gives its places back."""
        if after.ended:
            self._leave(after.id)
            plan = after.plan or after.id
            if self._plans.get(plan) == after.id:
                del self._plans[plan]
            if self._limits.give_back(after.id):
                self._wake.set()


def _names(tenant: str, place: Place) -> tuple[str, ...]:
    return (f"tenant:{tenant}", f"node:{place.node}", *(f"trunk:{trunk}" for trunk in sorted(set(place.routes.values()))))
