"""The front desk: what the API may ask about calls and nodes."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from controller.core import acts
from controller.core.call import Call
from controller.core.decide import decide, open_call
from controller.core.events import Act, Cancel
from controller.ports import Clock, Unit
from controller.services.calls import Calls
from controller.services.conductor import NodeState
from controller.services.flows import FlowBook
from controller.services.scheduler import NoRoute, Router, Scheduler
from controller.services.tasks import Tasks


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One PBX as the API shows it."""

    name: str
    kind: Literal["asterisk", "freeswitch"]
    state: str
    live_calls: int
    capacity: int
    boot: str
    since: int
    reason: str


class Desk:
    """Takes new calls in, and carries wishes about live ones to them."""

    def __init__(self, calls: Calls, scheduler: Scheduler, flows: FlowBook, router: Router, clock: Clock) -> None:
        self._calls, self._scheduler, self._flows, self._router, self._clock = calls, scheduler, flows, router, clock
        self._tasks = Tasks()
        self.node_states: Callable[[], list[NodeStatus]] = list

    async def open(self, call: Call, idempotency: tuple[str, str, str, bytes] | None = None) -> Call:
        """Take a call into the queue: durable when this returns.  Returned as it was then, though it may have begun already.

        What is stored is in memory too, also when the request is cancelled meanwhile.  Raises QueueFull, NoRoute, NotSaved,
        KeyError (no such flow)."""
        return await self._tasks.whole(self._open(call, idempotency))

    async def _open(self, call: Call, idempotency: tuple[str, str, str, bytes] | None) -> Call:
        self._scheduler.room.check(call.tenant)
        flow = self._flows.latest(call.flow)
        self._router(call)
        queued = open_call(flow, replace(call, flow_version=flow.version))
        start = self._scheduler.at_once(queued.call)
        if start is None:
            with self._scheduler.room.promised(call.id, call.tenant):
                await self._calls.open(Unit(queued.call, queued.facts, created=True, idempotency=idempotency))
                self._scheduler.add(queued.call)
            return queued.call
        begun = decide(flow, queued.call, start)  # nobody waits: one unit says that it came and that it begins
        try:
            unit = Unit(begun.call, queued.facts + begun.facts, created=True, idempotency=idempotency)
            await self._calls.open(unit, begun.verbs)
        except BaseException:
            self._scheduler.call_off(call.id)
            raise
        return queued.call

    async def cancel(self, call_id: str, unless: Literal["", "ringing", "answered"] = "") -> acts.CancelReply:
        """Give a live call up, or one that waits.  Raises KeyError when it neither lives here nor waits, NotSaved."""
        await self._calls.take_up(call_id)
        event = Cancel(self._clock.now(), unless)
        _, reply = await self._calls.ask(call_id, event, lambda call: acts.cancel_reply(call, unless))
        assert isinstance(reply, acts.CancelReply)
        return reply

    async def end(self, call_id: str) -> None:
        """Let a call go because all dialling was stopped: a talk is over, anything before it is blocked.  Raises NotSaved."""
        call = self._calls.get(call_id)
        with suppress(KeyError):
            if call is not None and call.bridged_at is not None:
                await self._calls.ask(call_id, Act(self._clock.now(), "hangup"))
            else:
                await self._calls.ask(call_id, Cancel(self._clock.now(), by="policy", disposition="blocked"))

    async def cancel_plan(self, call: Call) -> acts.CancelReply | None:
        """Give up the attempt that waits or lives after a call that is over; None where there is none.  Raises NotSaved."""
        latest = self._scheduler.latest(call.plan or call.id)
        if latest is None or latest == call.id:
            return None
        try:
            return await self.cancel(latest)
        except KeyError:
            return None

    async def act(self, call_id: str, action: str, leg: str = "", args: Mapping[str, Any] | None = None) -> str | None:
        """Act on a live call: None when accepted, else why it is not possible now.  Raises KeyError, NotSaved."""
        event = Act(self._clock.now(), action, leg, self._with_trunk(call_id, dict(args or {})))
        _, refused = await self._calls.ask(call_id, event, lambda call: acts.refusal(call, event))
        return None if refused is None else str(refused)

    def _with_trunk(self, call_id: str, args: dict[str, Any]) -> dict[str, Any]:
        """A transfer needs the way to its number on the call's own node.  Raises NoRoute."""
        call = self._calls.get(call_id)
        if "to" in args and call is not None:
            probe = replace(call, vars={"transfer": args["to"]}, routes={})
            places = [place for place in self._router(probe) if place.node == call.node]
            if not places:
                raise NoRoute("transfer")
            args["trunk"] = places[0].routes["transfer"]
        return args

    def leads(self, number: str) -> bool:
        """Whether any trunk leads to this number."""
        try:
            self._router(Call("", "", "callback", "", "", 0, vars={"transfer": number}))
        except NoRoute:
            return False
        return True

    def position(self, call_id: str) -> tuple[int, int] | None:
        """Place in the queue from 1 and estimated start (ms); None when it does not wait."""
        return self._scheduler.position(call_id)

    def outlook(self, call: Call) -> tuple[int, int]:
        """The same for a call that is not open yet: its answer is written together with it.  Raises NoRoute."""
        return self._scheduler.outlook(call)

    def live_call(self, call_id: str) -> Call | None:
        """The freshest state of a live call."""
        return self._calls.get(call_id)

    def queue_length(self) -> int:
        """How many calls wait."""
        return len(self._scheduler)

    def nodes(self) -> list[NodeStatus]:
        """All nodes."""
        return self.node_states()


def node_status(
    name: str, kind: Literal["asterisk", "freeswitch"], state: NodeState, live: int, capacity: int, draining: bool, lost: bool
) -> NodeStatus:
    """A node's line: ``draining`` shows only while it is up, ``lost`` only while it is not."""
    shown = "draining" if draining and state.state == "up" else "lost" if lost and state.state != "up" else state.state
    return NodeStatus(name, kind, shown, live, capacity, state.boot, state.since, state.reason)
