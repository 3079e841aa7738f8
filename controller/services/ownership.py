"""One owner per PBX node: take its lease, conduct it while the lease lives, let go the moment it does not.

A lease lives by the database's clock; beside it we keep our own monotonic one, counted from before the request was sent, so
that we stop ringing phones before anybody else may begin.  A process that dies on this machine leaves a lease whose owner
names its process: whoever finds that process gone need not wait for the lease to run out.

A PBX that cannot be reached for longer than a grace is lost: its calls are ended as lost, so that nobody waits for them for
ever.  Should it come back, what still lives there of them is hung up by the resync.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from controller.core.call import Call
from controller.core.verbs import Verb
from controller.ports import LEASE_BEAT_S, LEASE_LIFE_S, CallStore, Clock, LeaseLost, Leases, NotSaved, Pbx
from controller.services import resync
from controller.services.calls import Calls
from controller.services.conductor import Arrived, Conductor, LookedUp, NodeState

log = structlog.get_logger(__name__)

TRY_AGAIN_S = 0.5
LOOK_S = 0.5
"""How often a PBX that is away is looked after."""
MARGIN_S = 0.5
"""How long before the lease's end we stop ringing phones."""


def owner_name() -> str:
    """``host:pid:start`` of this process, unique also after the pid is used again."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead_here(owner: str) -> bool:
    """True if this owner was a process of this machine that no longer runs."""
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    return host == socket.gethostname() and pid.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]


class NodeOwner:
    """Owns one node while it can."""

    def __init__(
        self,
        node: str,
        leases: Leases,
        store: CallStore,
        calls: Calls,
        clock: Clock,
        open_pbx: Callable[[], Awaitable[Pbx]],
        changed: Callable[[str, NodeState], None],
        adopted: Callable[[list[Call]], None],
        arrived: Arrived | None = None,
        lost_after_s: float = 60.0,
    ) -> None:
        self.node = node
        self.lost = False
        self._lost_after_s = lost_after_s
        self._away_since: float | None = None
        self._leases, self._store, self._calls, self._clock = leases, store, calls, clock
        self._open_pbx, self._changed, self._adopted, self._arrived = open_pbx, changed, adopted, arrived
        self._owner = owner_name()
        self._lives_until = 0.0
        self.conductor: Conductor | None = None
        self.epoch: int | None = None
        self.allowed: Callable[[Call, Verb], str | None] = lambda _call, _verb: None
        self.look_up: LookedUp | None = None

    @property
    def state(self) -> NodeState:
        """The node's state as its conductor sees it; ``down`` while another process owns it."""
        if self.conductor is None:
            return NodeState("down", self._clock.now(), reason="not owned by this controller")
        return self.conductor.state

    async def run(self) -> None:
        """Own and conduct, again and again, until cancelled."""
        while True:
            asked = self._clock.monotonic()
            try:
                epoch = await self._leases.take(self.node, self._owner)
            except NotSaved as error:
                log.warning("lease not taken", node=self.node, reason=str(error))
                epoch = None
            if epoch is None:
                self._away_since, self.lost = None, False  # another owner knows better
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            self._lives_until = asked + LEASE_LIFE_S
            if self._away_since is None:
                self._away_since = asked
            self.epoch = epoch
            log.info("node taken over", node=self.node, epoch=epoch)
            try:
                await self._own(epoch)
            except Exception:
                log.exception("node let go of by a fault of ours, trying again", node=self.node)
                await asyncio.sleep(TRY_AGAIN_S)

    async def _own(self, epoch: int) -> None:
        beating = asyncio.create_task(self._beat(epoch))
        conducting = asyncio.create_task(self._conduct())
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({beating, conducting, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (beating, conducting, watching):
                task.cancel()
            ends = await asyncio.gather(beating, conducting, watching, return_exceptions=True)
            self.conductor, self.epoch = None, None
            self._calls.forget_node(self.node)
            with suppress(NotSaved):
                await self._leases.release(self.node, self._owner, epoch)
        for fault in ends:
            if isinstance(fault, Exception):
                raise fault

    async def _conduct(self) -> None:
        live = await self._store.live(self.node)
        for call in live:
            self._calls.adopt(call)
        self._adopted(live)
        await self._give_up_before_opening()
        pbx = await self._open_pbx()
        try:
            self.conductor = Conductor(pbx, self._calls, self._clock, self._may_ring, self._heard, self._arrived, self.look_up)
            await self.conductor.run()
        finally:
            await pbx.close()

    def _heard(self, node: str, state: NodeState) -> None:
        if state.state == "up":
            self._away_since, self.lost = None, False
        elif self._away_since is None:
            self._away_since = self._clock.monotonic()
        self._changed(node, state)

    # --- a PBX that stays away

    async def _watch(self) -> None:
        """Give up the calls of a PBX that stays away; those that a full database kept are given up again."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._is_lost():
                self._give_up()

    def _is_lost(self) -> bool:
        away = self._away_since
        if away is None or self._clock.monotonic() < away + self._lost_after_s:
            return False
        if not self.lost:
            self.lost = True
            log.error("node lost, its calls are ended", node=self.node, calls=len(self._calls.of_node(self.node)))
            self._changed(self.node, self.state)
        return True

    def _give_up(self) -> bool:
        """End all calls of the node; False when there are none."""
        calls, now = self._calls.of_node(self.node), self._clock.now()
        for call in calls:
            for event in resync.lost(call, now):
                self._calls.tell(call.id, event)
        return bool(calls)

    async def _give_up_before_opening(self) -> None:
        """A driver that cannot even be opened would else keep calls for ever: they are ended while we hold the lease."""
        if self._is_lost():
            for _ in range(round(LEASE_LIFE_S / LOOK_S)):
                if not self._give_up():
                    break
                await asyncio.sleep(LOOK_S)

    async def _beat(self, epoch: int) -> None:
        """Renew until the lease is lost.  A database that does not answer costs us the lease only when it has run out."""
        while self._clock.monotonic() < self._lives_until:
            await asyncio.sleep(LEASE_BEAT_S)
            asked = self._clock.monotonic()
            try:
                if not await self._leases.renew(self.node, self._owner, epoch):
                    break
            except NotSaved as error:
                log.warning("lease not renewed", node=self.node, reason=str(error))
                continue
            self._lives_until = asked + LEASE_LIFE_S
        log.error("lease lost, letting go of the node", node=self.node)

    def _may_ring(self, call: Call, verb: Verb) -> str | None:
        """Why the policy forbids it, None if it does not.  Raises LeaseLost when the lease has run out."""
        if self._clock.monotonic() > self._lives_until - MARGIN_S:
            raise LeaseLost(f"the lease on {self.node} has run out")
        return self.allowed(call, verb)
