"""Callbacks that wait for somebody: an agent who goes on duty, or whose call is over, gets the one that waits longest.

Calls wait in lines: one for each agent who is wanted by name, and one for whoever is idle longest.  Nothing is asked of the
database for a call that waits: when something has changed it is asked once who is free of those for whom there is a line, and
each of them takes the oldest call of the two lines that are theirs.  So what a look costs goes by the agents who are wanted and
free, not by the calls that wait, nor by all who are on duty.

Exactly one agent is assigned, durably, before any phone rings: first the agent's row names the call, then the call names the
agent.  Where a crash comes between the two, the same agent is found for the same call again; an agent whose call is over, or
never was, is let go.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import structlog

from controller.core.agent import AGENT, Agent, wanted
from controller.core.call import Call
from controller.core.events import Assigned, Cancel
from controller.ports import CallStore, Clock, NotSaved
from controller.services.calls import Calls
from controller.services.inbox import Busy
from controller.services.scheduler import Scheduler
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often it is asked who is free, and who is there, when nothing tells to: another process may have changed an agent, or
removed one."""
LINES_AT_ONCE = 500
BREATHE_EVERY = 50
"""After so many calls that turn out not to be ready others get a turn."""

_LineKey = tuple[str, str | None]


class AgentStore(Protocol):
    """Who is assigned to which call: a call has one agent, an agent one call."""

    async def free(self, tenants: Sequence[str], agents: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Tenant and id of those who could take a call now: of these tenants' agents, who is idle longest first, and of these
        agents."""

    async def known(self, agents: Sequence[str]) -> set[str]:
        """Which of these there still are."""

    async def claim(self, tenant: str, call: str, agent_id: str | None, now: int) -> Agent | None:
        """Assign this agent, or who is idle longest; who is assigned to the call already stays so.  None: nobody is free.
        Raises NotSaved."""

    async def release(self, call: str, now: int) -> bool:
        """Its agent is idle from now on.  Raises NotSaved."""

    async def assigned(self) -> Sequence[str]:
        """The calls that have an agent."""


@dataclass(slots=True)
class _Line:
    """Calls that wait for the same agent, by ordinal: the oldest first."""

    order: list[int] = field(default_factory=list)
    calls: dict[int, str] = field(default_factory=dict)


class Agents:
    """Assigns agents to the calls that wait for them."""

    def __init__(self, store: AgentStore, stored: CallStore, calls: Calls, scheduler: Scheduler, clock: Clock) -> None:
        self._store, self._stored, self._calls, self._scheduler, self._clock = store, stored, calls, scheduler, clock
        self._lines: dict[_LineKey, _Line] = {}
        self._where: dict[str, tuple[_LineKey, int]] = {}
        self._per_tenant: Counter[str] = Counter()
        self._unsure: dict[str, None] = {}
        self._look_for_removed_at = 0.0
        self._ordinals = count()
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        scheduler.wait_first, scheduler.elsewhere = self.wait, self.position
        calls.watch(self.committed)

    def wait(self, call: Call) -> bool:
        """True for a call that waits for an agent first."""
        want = wanted(call)
        if want is None:
            return False
        if call.id not in self._where:
            key, ordinal = (call.tenant, want.agent), next(self._ordinals)
            line = self._lines.setdefault(key, _Line())
            line.order.append(ordinal)
            line.calls[ordinal] = call.id
            self._where[call.id] = key, ordinal
            self._per_tenant[call.tenant] += 1
        self._wake.set()
        return True

    def position(self, call: Call) -> tuple[int, int] | None:
        """Its place among those that wait for the same agent, from 1; when it starts nobody can say (0)."""
        want = wanted(call)
        if want is None:
            return None
        key, ordinal = self._where.get(call.id, ((call.tenant, want.agent), None))
        order = self._lines.get(key, _Line()).order
        return (len(order) if ordinal is None else bisect_left(order, ordinal)) + 1, 0

    def length(self, tenant: str) -> int:
        """How many wait."""
        return self._per_tenant[tenant]

    def waiting(self, tenant: str) -> list[str]:
        """Who waits, those that came first first."""
        lines = [line for (whose, _), line in self._lines.items() if whose == tenant]
        return [call for _, call in sorted((ordinal, call) for line in lines for ordinal, call in line.calls.items())]

    def look(self) -> None:
        """An agent went on duty, or was changed."""
        self._wake.set()

    def gone(self, tenant: str, agent: str) -> None:
        """An agent was removed: who waits for that one waits for nobody, and is given up."""
        line = self._lines.get((tenant, agent), _Line())
        for call_id in list(line.calls.values()):
            self._calls.tell(call_id, Cancel(self._clock.now(), by="platform", disposition="failed"))

    def committed(self, _before: Call, after: Call, _facts: object) -> None:
        """Watches the calls: one that is over waits no more, and its agent is free."""
        if not after.ended:
            return
        self._forget(after.id)
        if AGENT in after.vars:
            self._tasks.spawn(self._release(after.id))

    async def run(self) -> None:
        """Assign, until cancelled."""
        begun = False
        while True:
            try:
                if not begun:
                    await self._let_go_of_what_is_over()
                    begun = True
                await self.round()
            except Exception as error:  # the database is away, or can only be read
                log.warning("agents not assigned", reason=type(error).__name__)
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S)
            except TimeoutError:
                pass
            self._wake.clear()

    async def round(self) -> None:
        """Give each agent who is free the oldest call that waits for them.  Raises NotSaved."""
        for call_id in list(self._unsure):
            await self._assign(call_id, None)
        await self._give_up_for_those_removed()
        keys = [key for key in self._lines if key[1] is None or (key[0], None) not in self._lines]
        for first in range(0, len(keys), LINES_AT_ONCE):
            some = keys[first : first + LINES_AT_ONCE]
            tenants = [tenant for tenant, agent in some if agent is None]
            for tenant, agent in await self._store.free(tenants, [agent for _, agent in some if agent is not None]):
                await self._give(tenant, agent)

    async def _give_up_for_those_removed(self) -> None:
        """Whoever waits for an agent whom another process removed waits for nobody."""
        if self._clock.monotonic() < self._look_for_removed_at:
            return
        named = [(tenant, agent) for tenant, agent in self._lines if agent is not None]
        for first in range(0, len(named), LINES_AT_ONCE):
            some = named[first : first + LINES_AT_ONCE]
            known = await self._store.known([agent for _, agent in some])
            for tenant, agent in some:
                if agent not in known:
                    self.gone(tenant, agent)
        self._look_for_removed_at = self._clock.monotonic() + LOOK_EVERY_S

    async def _give(self, tenant: str, agent: str) -> None:
        """The oldest call that this agent can take; those found that are over, or must wait for their time, leave the line."""
        for turn in count(1):
            call_id = self._oldest((tenant, agent), (tenant, None))
            if call_id is None:
                return
            call = self._calls.get(call_id)
            if call is not None and wanted(call) is not None and not self._scheduler.is_to_wait(call):
                await self._assign(call_id, agent)
                return
            self._forget(call_id)
            if turn % BREATHE_EVERY == 0:
                await asyncio.sleep(0)

    def _oldest(self, *keys: _LineKey) -> str | None:
        lines = [line for key in keys if (line := self._lines.get(key)) is not None]
        oldest = min(lines, key=lambda line: line.order[0], default=None)
        return None if oldest is None else oldest.calls[oldest.order[0]]

    async def _assign(self, call_id: str, agent: str | None) -> None:
        """Until it is known what became of this the call is `unsure`: the agent may be its already.  Raises NotSaved."""
        call = self._calls.get(call_id)
        want = None if call is None else wanted(call)
        if call is None or want is None:
            self._forget(call_id)
            return
        self._unsure[call_id] = None
        found = await self._store.claim(call.tenant, call_id, agent or want.agent, self._clock.now())
        if found is not None:
            try:
                event = Assigned(self._clock.now(), found.id, found.name, found.number)
                after, _ = await self._calls.ask(call_id, event)
            except (KeyError, Busy):
                await self._store.release(call_id, self._clock.now())
            else:
                self._forget(call_id)
                if after.vars.get(AGENT) == found.id and not after.ended:
                    self._scheduler.line_up(after)
        self._unsure.pop(call_id, None)

    def _forget(self, call_id: str) -> None:
        self._unsure.pop(call_id, None)
        found = self._where.pop(call_id, None)
        if found is None:
            return
        key, ordinal = found
        line = self._lines[key]
        del line.order[bisect_left(line.order, ordinal)], line.calls[ordinal]
        if not line.order:
            del self._lines[key]
        self._per_tenant[key[0]] -= 1
        if not self._per_tenant[key[0]]:
            del self._per_tenant[key[0]]

    async def _release(self, call_id: str) -> None:
        while True:
            try:
                await self._store.release(call_id, self._clock.now())
                break
            except NotSaved as error:
                log.warning("an agent is not let go of yet", reason=str(error))
                await asyncio.sleep(LOOK_EVERY_S)
        self._wake.set()

    async def _let_go_of_what_is_over(self) -> None:
        """After a start: agents whose call ended while nobody was there to let them go; and those whose call does not know of
        them yet."""
        for call_id in await self._store.assigned():
            call = self._calls.get(call_id) or await self._stored.get(call_id)
            if call is None or (not call.ended and wanted(call) is None):
                continue  # one that is not there may be beginning just now: ``claims`` looks again
            if call_id in self._where:
                self._unsure[call_id] = None
            else:
                await self._release(call_id)
