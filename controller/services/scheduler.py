"""The queue: which waiting call starts next, and where.

Calls that want the same way out (tenant and trunks) wait in one line, first in first out; the lines take turns, so no tenant
waits for another's crowd and a full trunk holds up only its own line.  A call starts when its tenant, its trunks and a node
allow it.  The queue is bounded; its truth is in the database (status ``queued``), this is its order in memory.

A call with ``not_before`` (scheduled, or another attempt of a retry plan) waits for its time first and joins its line then; one
whose ``not_after`` has passed is given up, also when that was while no controller ran.
"""

import asyncio
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

import structlog

from controller.core.agent import wanted
from controller.core.call import Call, CallStatus
from controller.core.events import Cancel, Start
from controller.ports import Clock
from controller.services.calls import Calls
from controller.services.limits import Limits
from controller.services.timetable import Timetable

log = structlog.get_logger(__name__)

IDLE_S = 1.0
"""How long the scheduler sleeps when nothing tells it to look."""


class QueueFull(Exception):
    """The queue's bound is reached; ``retry_after_s`` says when there may be room."""

    def __init__(self, whose: str, retry_after_s: int) -> None:
        super().__init__(f"the queue of {whose} is full")
        self.whose = whose
        self.retry_after_s = retry_after_s


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

_LineKey = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class _Line:
    """Calls that wait for the same things; ``order`` are the ordinals of those in ``waiting``."""

    waiting: deque[str] = field(default_factory=deque)
    order: list[int] = field(default_factory=list)


class Scheduler:
    """Starts queued calls within the limits."""

    def __init__(
        self, calls: Calls, limits: Limits, router: Router, clock: Clock, bound: int, tenant_bound: int, tenant_rate: float
    ) -> None:
        self._calls, self._limits, self._router, self._clock = calls, limits, router, clock
        self._bound, self._tenant_bound, self._tenant_rate = bound, tenant_bound, tenant_rate
        self._lines: OrderedDict[_LineKey, _Line] = OrderedDict()
        self._where: dict[str, tuple[_LineKey, int]] = {}
        self._ordinals = count()
        self._wake = asyncio.Event()
        self._per_tenant: dict[str, int] = {}
        self._later, self._expiry = Timetable(), Timetable()
        self._tenants: dict[str, str] = {}
        self._plans: dict[str, str] = {}
        self.may_start: MayStart = lambda _call, now: now
        self.wait_first: Callable[[Call], bool] = lambda _call: False
        self.elsewhere: Callable[[Call], tuple[int, int] | None] = lambda _call: None
        calls.watch(self.committed)
        calls.opened = self._follow

    def __len__(self) -> int:
        return len(self._tenants)

    def check_room(self, tenant: str) -> None:
        """Raises QueueFull when one more call of this tenant does not fit."""
        mine = self._per_tenant.get(tenant, 0)
        if mine >= self._tenant_bound:
            raise QueueFull("this tenant", max(1, round(mine / self._limits.limit(f"tenant:{tenant}").rate / 10)))
        if len(self) >= self._bound:
            raise QueueFull("this installation", max(1, round(self._bound / self._tenant_rate / 10)))

    def add(self, call: Call) -> None:
        """A call waits.  Raises NoRoute."""
        if call.id in self._tenants:
            return
        key = self._line_of(call)
        self._plan(call)
        self._count(call)
        if call.not_before is not None and call.not_before > self._clock.now():
            self._later.put(call.id, call.not_before)
        elif not self.wait_first(call):
            self._line_up(call.id, key)
        self._wake.set()

    def line_up(self, call: Call) -> None:
        """What a call waited for first is there: it joins its line."""
        try:
            if call.id in self._tenants and call.id not in self._where:
                self._line_up(call.id, self._line_of(call))
        except NoRoute:
            self._calls.tell(call.id, Cancel(self._clock.now(), by="platform", disposition="failed"))
        self._wake.set()

    def at_once(self, call: Call) -> Start | None:
        """How a new call starts now, its places taken; None if it must wait, or others do."""
        wall = self._clock.now()
        when = self.may_start(call, wall)
        if self._where or wanted(call) or (call.not_before or 0) > wall or when is None or when > wall:
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

    def _line_up(self, call_id: str, key: _LineKey) -> None:
        line = self._lines.setdefault(key, _Line())
        ordinal = next(self._ordinals)
        line.waiting.append(call_id)
        line.order.append(ordinal)
        self._where[call_id] = (key, ordinal)

    def _follow(self, call: Call) -> None:
        """Another attempt was written down (its number had a way before), or a call of which that was in doubt."""
        try:
            self.hold(call) if call.node else self.add(call)
        except NoRoute:
            log.warning("no way leads there any more", call=call.id)
            self._calls.tell(call.id, Cancel(self._clock.now(), by="platform", disposition="failed"))

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

        Place 0: its time has not come, and it has no place in a line yet."""
        later = self._later.when(call_id)
        if later is not None:
            return 0, later
        found = self._where.get(call_id)
        if found is None:
            call = self._calls.get(call_id) if call_id in self._tenants else None
            return None if call is None else self.elsewhere(call)
        key, ordinal = found
        place = bisect_left(self._lines[key].order, ordinal) + 1
        return place, self._start_of(key, place)

    def outlook(self, call: Call) -> tuple[int, int]:
        """What ``position`` would say of this call if it were added now.  Raises NoRoute."""
        key = self._line_of(call)
        if call.not_before is not None and call.not_before > self._clock.now():
            return 0, call.not_before
        if (elsewhere := self.elsewhere(call)) is not None:
            return elsewhere
        line = self._lines.get(key)
        place = len(line.order) + 1 if line else 1
        return place, self._start_of(key, place)

    def _line_of(self, call: Call) -> _LineKey:
        return call.tenant, tuple(sorted({trunk for place in self._router(call) for trunk in place.routes.values()}))

    def _start_of(self, key: _LineKey, place: int) -> int:
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
        for key in list(self._lines):
            line = self._lines[key]
            wait = self._start_first(line, now) if line.waiting else None
            if wait is not None:
                pause = min(pause, wait)
            if not line.waiting:
                del self._lines[key]
            elif wait == 0:
                self._lines.move_to_end(key)
        return pause

    def _look_at_the_clock(self) -> float:
        """Give up what is too late, line up what is due; seconds until the next such time."""
        now = self._clock.now()
        for call_id in self._expiry.due(now):
            self._leave(call_id)
            self._calls.tell(call_id, Cancel(now, by="not_after"))
        for call_id in self._later.due(now):
            call = self._calls.get(call_id)
            if call is None:
                self._uncount(call_id)
                continue
            if not self.wait_first(call):
                self.line_up(call)
        times = [time for time in (self._expiry.next(), self._later.next()) if time is not None]
        return min(IDLE_S, max(0.001, (min(times) - now) / 1000)) if times else IDLE_S

    def is_to_wait(self, call: Call) -> bool:
        """True for a call that may not start now: it is put off, or given up."""
        now = self._clock.now()
        when = self.may_start(call, now)
        if when is not None and when <= now:
            return False
        self._leave(call.id)
        if when is None or (call.not_after is not None and when > call.not_after):
            self._calls.tell(call.id, Cancel(now, by="policy", disposition="blocked"))
        else:
            self._count(call)
            self._later.put(call.id, when)
        return True

    def _start_first(self, line: _Line, now: float) -> float | None:
        call = self._calls.get(line.waiting[0])
        if call is None or call.status is not CallStatus.queued:
            self._leave(line.waiting[0])
            return 0.0
        if self.is_to_wait(call):
            return 0.0
        shortest: float | None = None
        for place in self._router(call):
            names = _names(call.tenant, place)
            wait = self._limits.wait(names, now)
            if wait == 0:
                self._limits.take(call.id, names)
                self._leave(call.id)
                self._calls.tell(call.id, Start(self._clock.now(), place.node, place.routes))
                return 0.0
            if wait is not None:
                shortest = wait if shortest is None else min(shortest, wait)
        return shortest

    def _leave(self, call_id: str) -> None:
        self._uncount(call_id)
        self._later.drop(call_id)
        found = self._where.pop(call_id, None)
        if found is None:
            return
        key, ordinal = found
        line = self._lines[key]
        index = bisect_left(line.order, ordinal)
        del line.order[index]
        if line.waiting[0] == call_id:
            line.waiting.popleft()
        else:
            line.waiting.remove(call_id)

    def _count(self, call: Call) -> None:
        """It waits, in a line or for its time."""
        self._tenants[call.id] = call.tenant
        self._per_tenant[call.tenant] = self._per_tenant.get(call.tenant, 0) + 1
        if call.not_after is not None:
            self._expiry.put(call.id, call.not_after)

    def _uncount(self, call_id: str) -> None:
        tenant = self._tenants.pop(call_id, None)
        if tenant is None:
            return
        self._expiry.drop(call_id)
        self._per_tenant[tenant] -= 1
        if not self._per_tenant[tenant]:
            del self._per_tenant[tenant]

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
