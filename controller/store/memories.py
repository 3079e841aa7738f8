"""Call memories: who reaches whom by dialling a display number, and for how long.

They are made by the unit that dials the callee (``units.unit_rows``), so that there is one before the phone rings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, select, update

from controller.core import ids
from controller.store import codec
from controller.store.backend import Backend
from controller.store.queries import AnyRow, newest, one, page
from controller.store.rows import Page
from controller.store.tables import CALL, DISPLAY_NUMBER, TENANT
from controller.store.tables_memory import MEMORY


@dataclass(frozen=True, slots=True)
class Memory:
    """``party`` dials ``display`` and reaches ``caller``, or ``forward_to``.  ``id``: of the leg that made it.

    ``metadata``: of the callback, where it is asked for."""

    id: str
    tenant: str
    display: str = field(repr=False)
    party: str = field(repr=False)
    caller: str = field(repr=False)
    forward_to: str | None = field(repr=False)
    reference: str | None = field(repr=False)
    created_at: int
    expires_at: int
    used_at: int | None
    uses: int
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)


class Memories:
    """All memories.  One whose time is over is as good as none; ``tidy`` removes it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def dialled(self, display: str, party: str, now: int) -> Memory | None:
        """What is remembered when ``party`` dials ``display``, with its metadata; nothing of a suspended tenant."""
        query = (
            select(MEMORY)
            .join(TENANT, TENANT.c.id == MEMORY.c.tenant)
            .where(MEMORY.c.display == display, MEMORY.c.party == party, MEMORY.c.expires_at > now)
            .where(TENANT.c.suspended_at.is_(None))
        )
        return await self._backend.read(lambda db: _with_metadata(db, one(db, query, _memory)))

    async def owner(self, number: str) -> str | None:
        """The tenant that shows this number, unless it is suspended."""
        query = (
            select(DISPLAY_NUMBER.c.tenant)
            .join(TENANT, TENANT.c.id == DISPLAY_NUMBER.c.tenant)
            .where(DISPLAY_NUMBER.c.number == number, TENANT.c.suspended_at.is_(None))
        )
        return await self._backend.read(lambda db: db.execute(query).scalar_one_or_none())

    async def used(self, memory_id: str, now: int) -> None:
        """It was dialled.  Raises NotSaved."""
        change = update(MEMORY).where(MEMORY.c.id == memory_id).values(used_at=now, uses=MEMORY.c.uses + 1)
        await self._backend.write(lambda db: db.execute(change))

    async def find(self, tenant: str, memory_id: str, now: int) -> Memory | None:
        """One memory of a tenant."""
        query = select(MEMORY).where(MEMORY.c.id == memory_id, MEMORY.c.tenant == tenant, MEMORY.c.expires_at > now)
        return await self._backend.read(lambda db: one(db, query, _memory))

    async def change(self, tenant: str, memory_id: str, now: int, values: dict[str, Any]) -> Memory | None:
        """Set ``caller``, ``forward_to`` or ``expires_at``; None for one that is not there.  Raises NotSaved."""
        which = (MEMORY.c.id == memory_id, MEMORY.c.tenant == tenant)

        def job(db: Connection) -> Memory | None:
            if values:
                db.execute(update(MEMORY).where(*which, MEMORY.c.expires_at > now).values(values))
            return one(db, select(MEMORY).where(*which, MEMORY.c.expires_at > now), _memory)

        return await self._backend.write(job)

    async def forget(self, tenant: str, memory_id: str) -> bool:
        """False for one that is not there.  Raises NotSaved."""
        change = delete(MEMORY).where(MEMORY.c.id == memory_id, MEMORY.c.tenant == tenant)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def list(
        self, tenant: str, now: int, number: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[Memory]:
        """A page of a tenant's memories, the newest first; ``number``: of whoever it concerns."""
        query = select(MEMORY).where(MEMORY.c.tenant == tenant, MEMORY.c.expires_at > now)
        if number is not None:
            query = query.where((MEMORY.c.party == number) | (MEMORY.c.caller == number) | (MEMORY.c.display == number))
        query = newest(MEMORY, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _memory))

    async def tidy(self, now: int, most: int = 1000) -> int:
        """Remove up to ``most`` whose time is over; answers how many.  Raises NotSaved."""
        old = select(MEMORY.c.id).where(MEMORY.c.expires_at <= now).limit(most)
        return await self._backend.write(lambda db: db.execute(delete(MEMORY).where(MEMORY.c.id.in_(old))).rowcount)


def _memory(row: AnyRow) -> Memory:
    return Memory(*(getattr(row, column.name) for column in MEMORY.columns))


def _with_metadata(db: Connection, memory: Memory | None) -> Memory | None:
    """As the business gave it with the callback, for as long as that is kept."""
    if memory is None:
        return None
    state = db.execute(select(CALL.c.state).where(CALL.c.id == ids.call_of(memory.id))).scalar_one_or_none()
    return memory if state is None else replace(memory, metadata=codec.decode(state).metadata)
