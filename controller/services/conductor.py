"""One PBX node: its events go to the calls, the calls' verbs go to it, and after any gap the two are brought together.

A verb that rings a phone is marked as on its way in the database before it is sent, and never sent again after that: if we do
not know whether it arrived, the PBX is asked.  All other verbs may be sent twice.  While the node cannot be reached nothing is
sent, and after each LinkUp nothing is sent before the resync is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import structlog

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call, LegState
from controller.core.causes import CONGESTION
from controller.core.decide import SIGNS_OF_LIFE
from controller.core.verbs import Connect, Hangup, LookUp, Verb
from controller.ports import Clock, LegSeen, NotSaved, Pbx, Unreachable, VerbRefused
from controller.services import resync
from controller.services.arrivals import Door, door_of
from controller.services.calls import Calls
from controller.services.inbox import Busy, LiveCall
from controller.services.lags import Lags
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

TICK_S = 0.5
"""How often deadlines are looked at."""
OVERDUE_MS = 20_000
"""A call that is this long past its deadline, or this long in ending, is asked of the PBX."""
RETRY_S = 1.0
"""How long a failed resync, or a verb that the database did not take, waits."""
SWEEP_S = 5.0
LATE_S = 2.0
"""A dial that was on its way when its sender died may arrive after the PBX was asked: its leg is lost, and hung up then."""

ARRIVING_BOUND = 100
"""Events that may wait for a call that is just being made."""

State = Literal["down", "resyncing", "up"]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of a node.  ``since``: ms of the last change of state."""

    state: State
    since: int
    boot: str = ""
    reason: str = "not connected yet"


Arrived = Callable[[str, ev.LegArrived, Door], Awaitable[int | None]]
"""Begins the call that a leg came in for, on that node; answers a Q.850 cause when the leg is to be refused."""
Allowed = Callable[[Call, Verb], str | None]
"""Asked directly before each verb that rings a phone: None, or why it must not be sent."""

LookedUp = Callable[[Call, LookUp], Awaitable[ev.Found]]
"""Answers what is looked up in a book of ours; always, and in time."""


class Conductor:
    """Owns one PBX node in this process."""

    def __init__(
        self,
        pbx: Pbx,
        calls: Calls,
        clock: Clock,
        allowed: Allowed = lambda _call, _verb: None,
        changed: Callable[[str, NodeState], None] = lambda _node, _state: None,
        arrived: Arrived | None = None,
        look_up: LookedUp | None = None,
    ) -> None:
        self.node = pbx.node
        self._pbx = pbx
        self._calls = calls
        self._clock = clock
        self._allowed = allowed
        self._changed = changed
        self._arrived = arrived or _nobody_expects
        self._look_up = look_up or _nothing_is_known
        self._looking: set[str] = set()
        self._arriving: dict[str, list[ev.Event]] = {}
        self.state = NodeState("down", clock.now())
        self._ready = asyncio.Event()
        self._resyncing: asyncio.Task[None] | None = None
        self._lags = Lags(clock)
        self._tasks = Tasks()
        self._swept = clock.monotonic()

    async def run(self) -> None:
        """Conduct until cancelled or the PBX is closed."""
        ticking = asyncio.create_task(self._tick())
        try:
            async for event in self._pbx.events():
                self._hear(event)
        finally:
            ticking.cancel()
            if self._resyncing:
                self._resyncing.cancel()
            self._tasks.cancel()
            with suppress(asyncio.CancelledError):
                await ticking

    @property
    def ready(self) -> bool:
        """The PBX can be reached and agrees with us: what is decided now is sent at once."""
        return self._ready.is_set()

    def lag_p99_s(self) -> float:
        """How far the last minute's events over the present link were behind the PBX's clock: 99 of 100 less than this."""
        return self._lags.p99_s()

    # --- what the PBX says

    def _hear(self, event: ev.Event) -> None:
        if isinstance(event, ev.LegEvent):
            if not isinstance(event, ev.LegAnswered):  # of an answer that nobody heard a later event tells, with its own time
                self._lags.note(event.at)
            if self._arrives(event):
                return
            if not self._calls.tell(ids.call_of(event.leg), event) and isinstance(event, SIGNS_OF_LIFE):
                self._tasks.spawn(self._release((event.leg,)))
        elif isinstance(event, ev.LinkUp):
            self._link_up(event)
        elif isinstance(event, ev.LinkDown):
            self._ready.clear()
            self._lags.clear()
            if self._resyncing:
                self._resyncing.cancel()
            self._set(NodeState("down", event.at, self.state.boot, event.reason))

    def _arrives(self, event: ev.LegEvent) -> bool:
        """True for what concerns a call that is just being made for a leg that came in: it is kept for that call."""
        call_id = ids.call_of(event.leg)
        waiting = self._arriving.get(call_id)
        if waiting is not None:
            if len(waiting) < ARRIVING_BOUND and not isinstance(event, ev.LegArrived):
                waiting.append(event)
            return True
        if not isinstance(event, ev.LegArrived) or self._calls.live(call_id) is not None:
            return False
        self._arriving[call_id] = []
        self._tasks.spawn(self._arrive(call_id, event))
        return True

    async def _arrive(self, call_id: str, event: ev.LegArrived) -> None:
        heard = self._arriving[call_id]
        cause = await self._arrived(self.node, event, door_of(self._pbx, event.leg, heard))
        self._arriving.pop(call_id)
        if cause is not None:
            with suppress(Unreachable, VerbRefused):
                await self._pbx.do(Hangup(ids.verb_id(call_id, 9999), event.leg, cause))
        for later in heard if cause is None else ():
            self._calls.tell(call_id, later)

    def _set(self, state: NodeState) -> None:
        log.info("node " + state.state, node=self.node, reason=state.reason)
        self.state = state
        self._changed(self.node, state)

    def _link_up(self, event: ev.LinkUp) -> None:
        self._ready.clear()
        if self._resyncing:
            self._resyncing.cancel()
        self._set(NodeState("resyncing", event.at, event.boot, ""))
        self._resyncing = asyncio.create_task(self._resync_until_done(event.boot))

    async def _resync_until_done(self, boot: str) -> None:
        while True:
            try:
                await self.resync()
                break
            except Unreachable as error:
                log.warning("resync failed, trying again", node=self.node, reason=str(error))
                await asyncio.sleep(RETRY_S)
        self._ready.set()
        self._set(NodeState("up", self._clock.now(), boot, ""))
        for call in self._calls.of_node(self.node):
            self._send_what_was_not_sent(call)

    async def resync(self, only: Iterable[str] | None = None) -> None:
        """Bring calls and PBX together: all of the node's, or only these.  Raises Unreachable."""
        wanted = None if only is None else set(only)
        calls = [call for call in self._calls.of_node(self.node) if wanted is None or call.id in wanted]
        alive = await self._pbx.alive()
        absent = resync.missing(calls, alive)
        gone = await self._pbx.gone(absent) if absent else {}
        plan = resync.plan(calls, alive, gone, self._clock.now(), every=wanted is None)
        for call_id, events in plan.events.items():
            for event in events:
                self._calls.tell(call_id, event)
        if lost := [
            one.leg for events in plan.events.values() for one in events if isinstance(one, ev.LegEnded) and one.why == "lost"
        ]:
            self._tasks.spawn(self._release(lost, LATE_S))
        orphans = [leg for leg in plan.orphans if self._calls.get(ids.call_of(leg)) is None and not _comes_in(alive[leg])]
        if orphans:
            await self._release(orphans)

    async def _release(self, legs: Iterable[str], after_s: float = 0.0) -> None:
        """Hang up live legs of calls that are over; what the PBX did not confirm is asked again while it can be reached."""
        await asyncio.sleep(after_s)
        unsure = []
        for leg in legs:
            log.info("hanging up a leg whose call is over", leg=leg)
            try:
                await self._pbx.do(Hangup(ids.verb_id(ids.call_of(leg), 9999), leg))
            except Unreachable:
                unsure.append(leg)
            except VerbRefused:
                pass  # it has gone
        if unsure and self.state.state != "down":
            self._tasks.spawn(self._release(unsure, RETRY_S))

    def _send_what_was_not_sent(self, call: Call) -> None:
        live = self._calls.live(call.id)
        if live is not None and not live.acting and not live.verbs:
            live.verbs.extend(step.verb for step in call.steps if step.state == "todo")
            self.act(live)

    # --- what the calls want

    def act(self, live: LiveCall) -> None:
        """Do a call's verbs, in order, one at a time."""
        if live.verbs and not live.acting:
            live.acting = True
            self._tasks.spawn(self._act(live))

    async def _act(self, live: LiveCall) -> None:
        try:
            while live.verbs:
                verb = live.verbs[0]
                if not self._ready.is_set():
                    await self._ready.wait()
                try:
                    await self._do(live, verb)
                except NotSaved as error:
                    log.warning("ringing verb waits for the database", call=live.call.id, reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                live.verbs.popleft()
        finally:
            live.acting = False

    async def _do(self, live: LiveCall, verb: Verb) -> None:
        call = live.call
        if isinstance(verb, LookUp):
            self._tasks.spawn(self._found(call, verb))
            return
        try:
            if verb.rings and not await self._may_ring(live, verb):
                return
            await self._pbx.do(verb)
        except VerbRefused as refused:
            self._calls.tell(call.id, ev.Refused(self._clock.now(), verb.id, refused.reason, refused.disposition))
        except Unreachable as error:
            log.warning("verb not confirmed", call=call.id, verb=verb.kind, reason=str(error))
        else:
            self._calls.tell(call.id, ev.Sent(self._clock.now(), verb.id))

    async def _found(self, call: Call, verb: LookUp) -> None:
        """Look something up beside what the PBX is asked.  Its step stays to be done until it is answered, so whoever has the
        call after us asks again."""
        if verb.id in self._looking or call.step(verb.id) is None:
            return
        self._looking.add(verb.id)
        try:
            self._calls.tell(call.id, await self._look_up(call, verb))
        finally:
            self._looking.discard(verb.id)

    async def _may_ring(self, live: LiveCall, verb: Verb) -> bool:
        """Whether a ringing verb may be sent now: it is durably on its way, allowed, and not given up meanwhile."""
        call = live.call
        if call.step(verb.id) is None:
            if verb.id in live.cleared:  # given up between its commit and now: its leg never was
                live.cleared.discard(verb.id)
                leg = verb.far if isinstance(verb, Connect) else verb.leg
                self._calls.tell(call.id, ev.LegEnded(self._clock.now(), leg, None, None, "platform"))
            return False
        reason = self._allowed(call, verb)
        if reason is not None:
            live.cleared.discard(verb.id)
            self._calls.tell(call.id, ev.Refused(self._clock.now(), verb.id, reason, "blocked"))
            return False
        if verb.id in live.cleared:
            live.cleared.discard(verb.id)
            return True
        try:
            after, first = await self._calls.ask(call.id, ev.Sending(self._clock.now(), verb.id), _first_time(verb))
        except (KeyError, Busy):
            return False
        return bool(first) and after.step(verb.id) is not None

    # --- the clock

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._ready.is_set():
                continue
            now, overdue = self._clock.now(), []
            for call in self._calls.of_node(self.node):
                due = call.due_at
                if due is not None and due <= now:
                    self._calls.tell(call.id, ev.Deadline(now))
                if (due is not None and due + OVERDUE_MS < now) or (call.ending_at or now) + OVERDUE_MS < now:
                    overdue.append(call.id)
            if overdue and self._clock.monotonic() - self._swept >= SWEEP_S:
                self._swept = self._clock.monotonic()
                await self._sweep(overdue)

    async def _sweep(self, overdue: list[str]) -> None:
        """Ask the PBX about calls that should have ended: no call outlives its flow's maximum."""
        try:
            await self.resync(overdue)
        except Unreachable as error:
            log.warning("sweep failed, trying again", node=self.node, reason=str(error))


def _comes_in(seen: LegSeen) -> bool:
    """A leg that came in and that nobody has taken: it will say so itself."""
    return seen.held and seen.state < LegState.answered


async def _nobody_expects(_node: str, _event: ev.LegArrived, _door: Door) -> int | None:
    return CONGESTION


async def _nothing_is_known(_call: Call, verb: LookUp) -> ev.Found:
    return ev.Found(0, verb.leg, verb.id, "failed")


def _first_time(verb: Verb) -> Callable[[Call], bool]:
    """A Connect may be repeated when its leg says that it never began; a Dial that was on its way is never sent again."""

    def check(call: Call) -> bool:
        step = call.step(verb.id)
        return step is not None and not call.ending and (step.state == "todo" or verb.kind == "Connect")

    return check
