"""Facts as they happen, for whoever listens now: the live WebSocket.  Nothing is kept for a listener that is too slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from controller.core.call import Call
from controller.core.facts import Fact
from controller.ports import Live

QUEUE_BOUND = 1000
"""Facts that wait for one listener."""


class TooSlow(Exception):
    """This listener did not keep up; it finds what it missed in the calls' timelines."""


class Subscription:
    """One listener's queue.  Iterating ends when the feed is closed, and raises TooSlow after an overflow."""

    def __init__(self, bound: int) -> None:
        self._waiting: deque[Live] = deque()
        self._bound = bound
        self._wake = asyncio.Event()
        self.too_slow = False
        self.closed = False

    def put(self, live: Live) -> None:
        """A fact for this listener; at the bound all that waits is dropped and the subscription is over."""
        if len(self._waiting) < self._bound:
            self._waiting.append(live)
        else:
            self.too_slow = True
            self._waiting.clear()
        self._wake.set()

    def close(self) -> None:
        """No more will come."""
        self.closed = True
        self._wake.set()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Live:
        while not self._waiting:
            if self.too_slow:
                raise TooSlow(f"more than {self._bound} events waited")
            if self.closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class Feed:
    """Hands every fact to the listeners of its tenant; those of other streams than calls by ``publish``."""

    def __init__(self, bound: int = QUEUE_BOUND) -> None:
        self._bound = bound
        self._listeners: dict[str, set[Subscription]] = {}

    def committed(self, _before: Call, after: Call, facts: Sequence[Fact]) -> None:
        """A unit was committed (a watcher of ``Calls``)."""
        if after.tenant in self._listeners:
            for fact in facts:
                self.publish(Live(after.tenant, fact, after.reference, after.metadata))

    def publish(self, live: Live) -> None:
        """Tell the listeners of its tenant; never waits."""
        listeners = self._listeners.get(live.tenant)
        if listeners:
            for listener in [one for one in listeners if not one.too_slow]:
                listener.put(live)

    @asynccontextmanager
    async def subscribe(self, *tenants: str) -> AsyncIterator[Subscription]:
        """What happens from now on, for one tenant; an operator also hears what belongs to none."""
        subscription = Subscription(self._bound)
        for tenant in tenants:
            self._listeners.setdefault(tenant, set()).add(subscription)
        try:
            yield subscription
        finally:
            for tenant in tenants:
                listeners = self._listeners[tenant]
                listeners.discard(subscription)
                if not listeners:
                    del self._listeners[tenant]

    def close(self) -> None:
        """End all subscriptions: the controller is stopping."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()
