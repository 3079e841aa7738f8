"""The audit log's own writer: what no transaction took along.

What a request did is written before it is answered; should the database refuse, it waits here with what was refused to
requests, is tried again each second, and is not forgotten while this process lives.  Refusals are counted together, so that
somebody who tries keys costs a row a second and no commit of his own.

Both wait within a bound.  Beyond it they are counted as ``audit.overflow``, those that were done and those that were refused,
so that the log says how many are missing; of what was done the error log names each.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from controller.audit import Row
from controller.ports import AuditStore, Clock, NotSaved

log = structlog.get_logger(__name__)

FLUSH_S = 1.0
BOUND = 1000
"""Different entries that may wait, of what was done and of the rest each; more are only counted."""
OURSELVES = "patchbay"
"""The actor of what no request asked for."""
NOBODY = ""
"""The tenant of what belongs to the installation."""


@dataclass(slots=True)
class Entry:
    """Something for the log.  ``data``: its result and what belongs to it; ``request_id`` is that of the first when several
    are counted together."""

    tenant: str
    actor: str
    action: str
    target: str
    data: dict[str, Any]
    request_id: str | None = None
    id: str = ""
    at: int = 0
    count: int = 1

    def row(self) -> Row:
        """As the store wants it."""
        more: dict[str, Any] = {} if self.request_id is None else {"request_id": self.request_id}
        if self.count > 1:
            more["count"] = self.count
        data = msgspec.json.encode({**self.data, **more}).decode()
        return self.id, self.tenant, self.at, self.actor, self.action, self.target, data


class Journal:
    """Writes entries, at once or a little later."""

    def __init__(self, store: AuditStore, clock: Clock, new_id: Callable[[int], str], bound: int = BOUND) -> None:
        self._store, self._clock, self._new_id, self._bound = store, clock, new_id, bound
        self._waiting: dict[tuple[Any, ...], Entry] = {}
        self._done: list[Row] = []
        self._overflow: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._done)

    async def now(self, row: Row) -> None:
        """Write what was done, before its answer.  When the database refuses, it is tried again until it is there."""
        try:
            await self._store.append([row])
        except NotSaved as error:
            if len(self._done) >= self._bound:
                self._overflow["done"] += 1
                log.error(
                    "audit entry lost, too many wait", id=row[0], tenant=row[1], actor=row[3], action=row[4], target=row[5]
                )
                return
            log.error("audit entry waits for the database", action=row[4], reason=str(error))
            self._done.append(row)

    def later(self, entry: Entry) -> None:
        """Write within a second; an equal entry that waits already is counted up."""
        key = (entry.tenant, entry.actor, entry.action, entry.target, *entry.data.items())
        known = self._waiting.get(key)
        if known is not None:
            known.count += 1
        elif len(self._waiting) >= self._bound:
            self._overflow["refused"] += 1
        else:
            entry.at = self._clock.now()
            entry.id = self._new_id(entry.at)
            self._waiting[key] = entry

    def ours(self, action: str, target: str, **data: Any) -> None:
        """Something that happened to the installation."""
        self.later(Entry(NOBODY, OURSELVES, action, target, data))

    async def run(self) -> None:
        """Write what waits, each second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> bool:
        """Write what waits now; False when the database refuses, and then it waits on."""
        for result in ("done", "refused"):
            key = ("audit.overflow", result)
            if self._overflow[result] and key not in self._waiting:  # one that may be written already counts no further
                many = Entry(NOBODY, OURSELVES, "audit.overflow", "", {"result": result}, count=self._overflow.pop(result))
                many.at = self._clock.now()
                many.id = self._new_id(many.at)
                self._waiting[key] = many
        if not len(self):
            return True
        waiting, done = self._waiting, self._done
        self._waiting, self._done = {}, []
        try:
            await self._store.append([*done, *(entry.row() for entry in waiting.values())])
        except BaseException as error:
            self._waiting, self._done = {**waiting, **self._waiting}, [*done, *self._done]
            if not isinstance(error, NotSaved):
                raise
            log.error("audit entries wait for the database", entries=len(self), reason=str(error))
            return False
        return True
