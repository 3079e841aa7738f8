"""What becomes of the installation's nodes, told in order, each piece once it is written down.

A node's state is no row, so no other transaction could take its facts along.  While the database is away they wait here, and do
not outlive this process; the audit log's own (``services.journal``) go the same way.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from controller.core import ids
from controller.ports import Clock, Live, NotSaved

log = structlog.get_logger(__name__)

BOUND = 1000
"""Pieces that may wait; beyond that the oldest are lost."""
RETRY_S = 1.0


class StreamStore(Protocol):
    """Where facts are written."""

    async def tell(self, stream: str, kind: str, at: int, data: Mapping[str, Any]) -> Live:
        """Write the next fact of a stream of the installation.  Raises NotSaved."""


class Bulletin:
    """Tells operators of nodes.  ``publish``: told what was committed."""

    def __init__(self, store: StreamStore, clock: Clock, publish: Callable[[Live], None], bound: int = BOUND) -> None:
        self._store, self._clock, self._publish = store, clock, publish
        self._waiting: deque[tuple[str, str, int, Mapping[str, Any]]] = deque(maxlen=bound)
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def node(self, kind: str, node: str, reason: str, lost: bool) -> None:
        """``node.up`` or ``node.down``; ``lost``: its calls were ended."""
        if len(self._waiting) == self._waiting.maxlen:
            log.error("too much to tell of nodes, the oldest is lost", bound=self._waiting.maxlen)
        data = {"node": node, "reason": reason, "lost": lost}
        self._waiting.append((ids.stream_id("node_", node), kind, self._clock.now(), data))
        self._wake.set()

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self.flush():
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def flush(self) -> bool:
        """Write what waits now; False when the database refuses.

        An answer that got lost means that the same is told twice; that is better than not at all."""
        async with self._writing:
            while self._waiting:
                piece = self._waiting[0]
                try:
                    live = await self._store.tell(*piece)
                except NotSaved as error:
                    log.warning("news of a node waits for the database", reason=str(error))
                    return False
                if self._waiting and self._waiting[0] is piece:
                    self._waiting.popleft()
                self._publish(live)
        return True
