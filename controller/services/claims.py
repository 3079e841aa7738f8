"""Agents who are claimed for calls that are under way: those that an X or a robot connects with an agent.

As for callbacks, first the agent's row names the call, durably, then the call names the agent, and only then a phone rings: of
two that want the same agent one is refused.  The agent is let go of when their leg has ended, or the call.  What a crash leaves
between two writes is found by looking now and then at all claims: one whose call is over goes at once, one whose call nobody
knows, or which the call knows nothing of, when that has been so for a while.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from controller.core.agent import AGENT, Agent, keeps
from controller.core.call import Call
from controller.ports import CallStore, Clock, NotSaved
from controller.services.calls import Calls
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

LOOK_S = 10.0
UNCLEAR_S = 30.0
"""Longer than a call may take from the claim to its own first word of it, so that none is let go of that begins just now."""
AGAIN_S = 1.0


class AgentStore(Protocol):
    """Who is assigned to which call."""

    async def claim(self, tenant: str, call: str, agent_id: str | None, now: int) -> Agent | None:
        """Assign this agent, who is on duty and free; who is assigned to the call already stays so.  Raises NotSaved."""

    async def release(self, call: str, now: int) -> bool:
        """Its agent is idle from now on.  Raises NotSaved."""

    async def assigned(self) -> Sequence[str]:
        """The calls that have an agent."""


class Claims:
    """``freed``: told when an agent has become free."""

    def __init__(self, store: AgentStore, stored: CallStore, calls: Calls, clock: Clock, freed: Callable[[], None]) -> None:
        self._store, self._stored, self._calls, self._clock, self._freed = store, stored, calls, clock, freed
        self._leaving: dict[str, asyncio.Event] = {}
        self._unclear: dict[str, float] = {}
        self._tasks = Tasks()
        calls.watch(self.committed)

    async def claim(self, tenant: str, call_id: str, agent_id: str) -> Agent | None:
        """This agent for this call, from now on and also when asked again; None: not on duty, or not free.  Raises NotSaved."""
        while (leaving := self._leaving.get(call_id)) is not None:
            await leaving.wait()
        found = await self._store.claim(tenant, call_id, agent_id, self._clock.now())
        if found is not None and found.id != agent_id:  # asked again, after a crash, the business says another one
            await self._release(call_id)
            found = await self._store.claim(tenant, call_id, agent_id, self._clock.now())
        return found

    def committed(self, before: Call, after: Call, _facts: object) -> None:
        """Watches the calls: the agent's leg is over, and the call may go on."""
        if AGENT in before.vars and AGENT not in after.vars:
            self._leave(after.id)

    def let_go(self, call_id: str) -> None:
        """A call for which an agent may have been claimed does not begin."""
        self._tasks.spawn(self._unless_begun(call_id))

    async def _unless_begun(self, call_id: str) -> None:
        with suppress(NotSaved):  # then the next look finds it
            call = self._calls.get(call_id) or await self._stored.get(call_id)
            if call is None or not keeps(call):
                await self._release(call_id)

    def _leave(self, call_id: str) -> None:
        if call_id not in self._leaving:
            self._leaving[call_id] = asyncio.Event()
            self._tasks.spawn(self._until_released(call_id))

    async def _until_released(self, call_id: str) -> None:
        try:
            while True:
                try:
                    await self._release(call_id)
                    return
                except NotSaved as error:
                    log.warning("a claimed agent is not let go of yet", reason=str(error))
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._leaving.pop(call_id).set()

    async def _release(self, call_id: str) -> None:
        if await self._store.release(call_id, self._clock.now()):
            self._freed()

    async def run(self) -> None:
        """Look at all claims, again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the database is away, or can only be read
                log.warning("claims not looked at", reason=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Let go of agents whose call does not keep them.  Raises NotSaved."""
        assigned, now = await self._store.assigned(), self._clock.monotonic()
        self._unclear = {call_id: self._unclear[call_id] for call_id in assigned if call_id in self._unclear}
        for call_id in assigned:
            call = self._calls.get(call_id) or await self._stored.get(call_id)
            if call is not None and keeps(call):
                self._unclear.pop(call_id, None)
            elif (call is not None and call.ended) or now - self._unclear.setdefault(call_id, now) >= UNCLEAR_S:
                log.info("an agent is let go of whose call does not keep them", call=call_id)
                self._unclear.pop(call_id, None)
                await self._release(call_id)
