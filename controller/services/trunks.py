"""The trunks of this installation: those of the configuration, and those that were added at run time, which are rows.

Every controller looks at the rows every few seconds, and at once when it changed one itself.  The configuration wins over a row
of the same name.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from pydantic import ValidationError

from controller.config import Trunk
from controller.ports_fleet import TrunkEntry, TrunkStore

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How often the rows are looked at."""


class Trunks:
    """All trunks.  ``known`` and ``draining`` are changed in place: whoever holds them sees what is there now.

    ``changed``: told whenever they are others."""

    def __init__(self, store: TrunkStore, configured: Sequence[Trunk]) -> None:
        self._store, self._configured = store, tuple(configured)
        self._lock = asyncio.Lock()
        self.known: list[Trunk] = list(configured)
        self.draining: set[str] = set()
        self.changed: Callable[[], None] = lambda: None

    def get(self, name: str) -> Trunk | None:
        """The trunk of this name."""
        return next((trunk for trunk in self.known if trunk.name == name), None)

    def is_added(self, name: str) -> bool | None:
        """True for a trunk that was added at run time, None for one that is not there."""
        if any(trunk.name == name for trunk in self._configured):
            return False
        return None if self.get(name) is None else True

    async def run(self) -> None:
        """Look at the rows again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.refresh()
            except Exception as error:  # the database is away: what we have goes on
                log.warning("trunks not looked up", reason=type(error).__name__)

    async def refresh(self) -> None:
        """Bring the trunks to what the rows say.  Raises Unavailable."""
        async with self._lock:
            entries = [entry for entry in await self._store.all() if self.is_added(entry.name) is not False]
            known = [*self._configured, *(trunk for entry in entries if (trunk := self._read(entry)) is not None)]
            draining = {entry.name for entry in entries if entry.draining_since is not None}
            if known == self.known and draining == self.draining:
                return
            self.known[:] = known
            self.draining.clear()
            self.draining.update(draining)
        log.info("trunks changed", trunks=len(known), draining=len(draining))
        self.changed()

    def _read(self, entry: TrunkEntry) -> Trunk | None:
        try:
            return Trunk.model_validate_json(entry.settings)
        except ValidationError as error:  # written by a newer version, say: it must not stop the others
            log.error("trunk cannot be had", trunk=entry.name, faults=error.error_count())
            return self.get(entry.name)
