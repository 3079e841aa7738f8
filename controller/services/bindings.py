"""Bindings: made, changed, released, and told when their time is over.

Nothing here keeps what the database knows.  A binding ends by the clock: who looks it up compares times, so a timer that is
late makes nobody reach anybody; it only tells late."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog

from controller.core import ids
from controller.core.facts import Fact
from controller.core.masking import SPOTS, Binding, Choice, Keep, told
from controller.ports import Clock, Live, NotSaved

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""How often is looked for bindings that are over."""
BATCH = 200
DEAD = 1000


class BindingStore(Protocol):
    """Where bindings live.  Who asks for a number that is not free is told so by errors of the store that are NotSaved."""

    async def bind(self, wanted: Binding, choice: Choice, keep: Keep | None = None) -> Binding:
        """Make a binding, with what it left open chosen, in one transaction.  Raises NotSaved."""

    async def change(self, tenant: str, binding_id: str, now: int, edit: Callable[[Binding], Binding]) -> Binding | None:
        """Change a binding that lives; None for one that does not, or is not there.  Raises NotSaved."""

    async def release(self, tenant: str, binding_id: str, now: int) -> tuple[Binding, bool] | None:
        """End a binding: how it is now, and whether it lived until then.  Raises NotSaved."""

    async def expire(self, now: int, limit: int = 200) -> list[Binding]:
        """Write down which bindings are over, each once.  Raises NotSaved."""

    async def sweep(self, now: int, limit: int = 1000) -> int:
        """Forget claims that are dead; how many.  Raises NotSaved."""


class Bindings:
    """What may be done with bindings.  ``publish``: told what was committed."""

    def __init__(self, store: BindingStore, clock: Clock, publish: Callable[[Live], None]) -> None:
        self._store, self._clock, self._publish = store, clock, publish
        self._random = random.Random()

    async def bind(self, wanted: Binding, strict: bool = False, keep: Keep | None = None) -> Binding:
        """A new binding.  ``strict``: only with numbers of the wanted area.  Raises NotSaved, of these those of the store."""
        choice = Choice(wanted.created_at, self._random.randrange(SPOTS), strict)
        made = await self._store.bind(wanted, choice, keep)
        self._tell(made, "binding.created", made.created_at)
        return made

    async def change(self, tenant: str, binding_id: str, edit: Callable[[Binding, int], Binding]) -> Binding | None:
        """Change a binding; ``edit`` is given it and the time (ms).  None when it does not live.  Raises NotSaved."""
        now = self._clock.now()
        changed = await self._store.change(tenant, binding_id, now, lambda binding: edit(binding, now))
        if changed is not None:
            self._tell(changed, "binding.changed", now)
        return changed

    async def release(self, tenant: str, binding_id: str) -> Binding | None:
        """End a binding; one that has ended stays as it is.  Live calls go on.  None: it is not there.  Raises NotSaved."""
        found = await self._store.release(tenant, binding_id, now := self._clock.now())
        if found is None:
            return None
        if found[1]:
            self._tell(found[0], "binding.released", now)
        return found[0]

    async def run(self) -> None:
        """Tell of bindings that are over, until cancelled."""
        while True:
            try:
                await self.look()
            except NotSaved as error:
                log.warning("bindings wait for the database", reason=str(error))
            except Exception:
                log.exception("bindings: a look failed")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Tell of all that are over now, and tidy."""
        now = self._clock.now()
        while over := await self._store.expire(now, BATCH):
            for binding in over:
                self._tell(binding, "binding.expired", binding.expires_at)
        while await self._store.sweep(now, DEAD) == DEAD:
            pass

    def _tell(self, binding: Binding, kind: str, at: int) -> None:
        fact = Fact(ids.stream_id("bind_", binding.id), binding.sequence, kind, at, told(binding))
        self._publish(Live(binding.tenant, fact, binding.reference, binding.metadata))
