"""The PBX nodes of this installation: those of the configuration, and those that were added at run time, which are rows.

Every controller looks at the rows every few seconds, and at once when it changed one itself; so a node that is added here is
owned by whoever gets its lease first, and one that is removed is let go of everywhere.  The configuration wins over a row of
the same name.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from controller.config import Node
from controller.ports_fleet import NodeEntry, NodeStore
from controller.services.conductor import NodeState
from controller.services.desk import NodeStatus, node_status
from controller.services.inbox import LiveCall
from controller.services.ownership import NodeOwner

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How often the rows are looked at."""
STOP_S = 5.0
Told = Callable[[str, str, str, bool], None]
"""Told of ``node.up`` and ``node.down``: the event, the node, the reason, and whether its calls were ended."""


@dataclass(slots=True, eq=False)
class Member:
    """A node of this fleet.  ``added``: at run time; ``seen_up``: what was last told of it."""

    node: Node
    owner: NodeOwner
    added: bool
    task: "asyncio.Task[None] | None" = None
    seen_up: bool = False
    seen_lost: bool = False


class Fleet:
    """All nodes, each with its owner.  ``make``: an owner for a node; ``joined``/``left``: others who must know of it."""

    def __init__(
        self,
        store: NodeStore,
        make: Callable[[Node], NodeOwner],
        joined: Callable[[Node], None],
        left: Callable[[str], object],
        look: Callable[[], None],
    ) -> None:
        self._store, self._make, self._joined, self._left, self._look = store, make, joined, left, look
        self._members: dict[str, Member] = {}
        self._lock = asyncio.Lock()
        self._running = False
        self.draining: set[str] = set()
        self.told: Told = lambda _event, _node, _reason, _lost: None

    # --- who is there

    def nodes(self) -> Sequence[Node]:
        """The settings of all nodes."""
        return [member.node for member in self._members.values()]

    def owner(self, name: str) -> NodeOwner | None:
        """Who conducts a node."""
        member = self._members.get(name)
        return member.owner if member else None

    def is_added(self, name: str) -> bool | None:
        """True for a node that was added at run time, None for one that is not there."""
        member = self._members.get(name)
        return member.added if member else None

    def usable(self, name: str) -> bool:
        """True if new calls may go there."""
        owner = self.owner(name)
        return owner is not None and owner.state.state == "up" and name not in self.draining

    def statuses(self, load: Callable[[str], int]) -> list[NodeStatus]:
        """All nodes as the API shows them; ``load``: how many calls one carries."""
        return [
            node_status(
                member.node.name, member.node.kind, member.owner.state, load(member.node.name), member.node.capacity,
                member.node.name in self.draining, member.owner.lost,
            )
            for member in self._members.values()
        ]  # fmt: skip

    # --- what the calls want of a node

    def ready(self, name: str) -> bool:
        """True if what is decided now is sent to the node at once."""
        owner = self.owner(name)
        return owner is not None and owner.conductor is not None and owner.conductor.ready

    def owned(self, name: str) -> bool:
        """True if this controller has the node's lease; also for the name of none, which a call has that waits."""
        owner = self.owner(name)
        return not name or (owner is not None and owner.epoch is not None)

    def act(self, live: LiveCall) -> None:
        """Do a call's verbs on its node."""
        owner = self.owner(live.call.node)
        if owner is not None and owner.conductor is not None:
            owner.conductor.act(live)

    # --- coming and going

    def join(self, node: Node, added: bool = False) -> None:
        """Have a node, and own it as soon as its lease is free."""
        member = self._members[node.name] = Member(node, self._make(node), added)
        self._joined(node)
        if self._running:
            self._own(member)

    async def start(self) -> None:
        """Look at the rows and begin to own.  Raises Unavailable."""
        self._running = True
        for member in list(self._members.values()):
            self._own(member)
        await self.refresh()

    async def run(self) -> None:
        """Look at the rows again and again, until cancelled; then let go of all nodes."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                try:
                    await self.refresh()
                except Exception as error:  # the database is away: what we have goes on
                    log.warning("nodes not looked up", reason=type(error).__name__)
        finally:
            self._running = False
            await self._stop(list(self._members.values()))

    async def refresh(self) -> None:
        """Bring the fleet to what the rows say.  Raises Unavailable."""
        async with self._lock:
            entries = {entry.name: entry for entry in await self._store.all()}
            for entry in entries.values():
                if entry.settings is not None and entry.name not in self._members:
                    self._add(entry)
            gone = [member for name, member in self._members.items() if member.added and _is_gone(entries.get(name))]
            for member in gone:
                log.info("node removed", node=member.node.name)
                del self._members[member.node.name]
                self._left(member.node.name)
            draining = {name for name, entry in entries.items() if entry.draining_since is not None}
            changed = draining != self.draining
            self.draining.clear()
            self.draining.update(draining)
            await self._stop(gone)
        if changed or gone:
            self._look()

    def _add(self, entry: NodeEntry) -> None:
        try:
            node = Node.model_validate_json(entry.settings or "")
        except ValidationError as error:  # written by a newer version, say: it must not stop the others
            log.error("node cannot be had", node=entry.name, faults=error.error_count())
            return
        log.info("node added", node=node.name, kind=node.kind)
        self.join(node, added=True)

    def _own(self, member: Member) -> None:
        if member.task is None:
            member.task = asyncio.create_task(member.owner.run(), name=f"own {member.node.name}")

    async def _stop(self, members: Sequence[Member]) -> None:
        tasks = [member.task for member in members if member.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await asyncio.gather(*tasks, return_exceptions=True)

    # --- what becomes of a node

    def heard(self, name: str, state: NodeState) -> None:
        """A node's state changed (an owner's ``changed``)."""
        self._look()
        member = self._members.get(name)
        if member is None:
            return
        if state.state == "up" and not member.seen_up:
            member.seen_up, member.seen_lost = True, False
            self.told("node.up", name, "", False)
        elif state.state == "down" and (member.seen_up or (member.owner.lost and not member.seen_lost)):
            member.seen_up, member.seen_lost = False, member.owner.lost
            self.told("node.down", name, state.reason, member.owner.lost)


def _is_gone(entry: NodeEntry | None) -> bool:
    return entry is None or entry.settings is None
