"""Calls of a node that is gone: one that was deleted from the configuration while it carried calls has no owner.

Nobody hears of such calls, so they would never end.  Once nobody has held the node's lease for a grace, they end as those of
a lost node do, by the same function.  Until then another controller, or the next start with the node put back, may take them
over as they are; so the lease is taken only for the end itself.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog

from controller.core.call import Call
from controller.ports import LEASE_LIFE_S, CallStore, Clock, Leases
from controller.services import resync
from controller.services.calls import Calls
from controller.services.ownership import MARGIN_S, owner_name

log = structlog.get_logger(__name__)

LOOK_S = 5.0
WAIT_S = 0.1
GRACE_S = 60.0
"""How long nobody may have held a node's lease before its calls are ended: as long as a node may be away."""
CURE = "drain a node before it is taken out of the configuration; put back within the grace, it keeps its calls"


class Abandoned:
    """Ends the calls of nodes that nobody has.  ``known``: the nodes that this controller has now."""

    def __init__(
        self,
        store: CallStore,
        leases: Leases,
        calls: Calls,
        clock: Clock,
        known: Collection[str],
        adopted: Callable[[list[Call]], None],
    ) -> None:
        self._store, self._leases, self._calls, self._clock = store, leases, calls, clock
        self._known, self._adopted = known, adopted
        self._since: dict[str, float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the database is away: nothing is known, and nothing is ended
                log.warning("abandoned calls not looked for", reason=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Note which nodes are abandoned, and end the calls of those whose grace is over.  Raises Unavailable, NotSaved."""
        now = self._clock.monotonic()
        found = set(await self._store.nodes()) - set(self._known)
        free = [node for node in found if not await self._leases.is_held(node)]
        for node in free:
            if node not in self._since:
                log.warning("calls of a node that nobody has", node=node, ended_in_s=GRACE_S, cure=CURE)
        self._since = {node: self._since.get(node, now) for node in free}
        for node, since in self._since.items():
            if now >= since + GRACE_S:
                await self._end(node)

    async def _end(self, node: str) -> None:
        """End the node's calls; what does not get so far while the lease lives is done at the next look."""
        owner = owner_name()
        epoch = await self._leases.take(node, owner)
        if epoch is None:
            return
        try:
            live = [call for call in await self._store.live(node) if self._adopt(call)]
            log.error("node is gone, its calls are ended", node=node, calls=len(live), cure=CURE)
            self._adopted(live)
            for call in live:
                for event in resync.lost(call, self._clock.now()):
                    self._calls.tell(call.id, event)
            for _ in range(round((LEASE_LIFE_S - MARGIN_S) / WAIT_S)):
                if not self._calls.of_node(node):
                    break
                await asyncio.sleep(WAIT_S)
        finally:
            self._calls.forget_node(node)
            await self._leases.release(node, owner, epoch)

    def _adopt(self, call: Call) -> bool:
        """Take a call into memory; one that nobody can decide about here is left, and keeps no other from its end."""
        try:
            self._calls.adopt(call)
        except KeyError:
            log.error("a call cannot be ended, its flow is unknown", call=call.id, flow=call.flow, version=call.flow_version)
            return False
        return True
