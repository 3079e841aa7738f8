"""Call memory: who was called by a callback dials the number that the phone showed, and reaches who had it made.

Two resolvers for ``arrivals``: one that remembers, and one that tells whoever dials a number of ours without a memory, before
any answer, that there is none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from controller.core import ids
from controller.ports import Clock, NotSaved
from controller.services.arrivals import Arrival, Taken
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

FLOW, NOBODY_FLOW = "memory", "no-memory"
TIDY_EVERY_S = 3600.0


class Memory(Protocol):
    """What is remembered: of whom, and who is to be reached."""

    @property
    def id(self) -> str:
        """Its own."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def caller(self) -> str:
        """The original caller's number."""

    @property
    def forward_to(self) -> str | None:
        """Who is reached in their place."""

    @property
    def reference(self) -> str | None:
        """The business's own name for the callback."""

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """What the business wants echoed."""


class MemoryStore(Protocol):
    """Where memories live."""

    async def dialled(self, display: str, party: str, now: int) -> Memory | None:
        """What is remembered when ``party`` dials ``display``."""

    async def owner(self, number: str) -> str | None:
        """The tenant that shows this number."""

    async def used(self, memory_id: str, now: int) -> None:
        """It was dialled.  Raises NotSaved."""

    async def tidy(self, now: int) -> int:
        """Remove some whose time is over; how many.  Raises NotSaved."""


class Memories:
    """The resolvers, and the upkeep of the table."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._tasks = Tasks()

    @property
    def resolvers(self) -> tuple[Callable[[Arrival], Awaitable[Taken | None]], ...]:
        """In the order in which they are to be asked, after everybody else."""
        return self.remembered, self.unknown

    async def remembered(self, arrival: Arrival) -> Taken | None:
        """Connect with the original caller, who sees the number that was dialled."""
        if not arrival.caller:
            return None
        found = await self._store.dialled(arrival.called, arrival.caller, self._clock.now())
        if found is None:
            return None
        self._tasks.spawn(self._note(found.id))
        told = ("memory.used", {"memory_id": "mem_" + found.id, "callback_id": "call_" + ids.call_of(found.id)})
        numbers = {"callee": found.forward_to or found.caller, "callee_display": arrival.called}
        return Taken(found.tenant, FLOW, numbers, reference=found.reference, metadata=found.metadata, told=(told,))

    async def unknown(self, arrival: Arrival) -> Taken | None:
        """Whoever dials a number that a tenant shows is told that nobody is to be reached by it."""
        tenant = await self._store.owner(arrival.called)
        return None if tenant is None else Taken(tenant, NOBODY_FLOW)

    async def _note(self, memory_id: str) -> None:
        try:
            await self._store.used(memory_id, self._clock.now())
        except NotSaved as error:
            log.warning("the use of a memory was not noted", reason=str(error))

    async def run(self) -> None:
        """Remove what is over, again and again, until cancelled."""
        while True:
            removed = 0
            try:
                removed = await self._store.tidy(self._clock.now())
            except NotSaved as error:
                log.warning("memories not tidied", reason=str(error))
            await asyncio.sleep(0 if removed else TIDY_EVERY_S)
