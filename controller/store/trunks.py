"""The trunks that were added at run time."""

from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection, delete, select, update

from controller.audit import about
from controller.ports_fleet import TrunkEntry
from controller.store import codec
from controller.store.backend import Backend
from controller.store.calls import LIVE
from controller.store.idempotency import IdempotencyKeys
from controller.store.nodes import DRAINED_MS
from controller.store.queries import AnyRow, add, one
from controller.store.rows import Idempotency
from controller.store.tables import CALL
from controller.store.tables_trunks import TRUNK


class TrunkKept(Exception):
    """The trunk cannot be removed.  ``why``: one of the literals."""

    def __init__(self, why: Literal["unknown", "not_draining", "calls"]) -> None:
        super().__init__(why)
        self.why = why


class Trunks:
    """Implements ``ports.TrunkStore``.  Passwords are in ``settings``, and nowhere else."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def all(self) -> list[TrunkEntry]:
        """Every row, by name.  Raises Unavailable."""
        query = select(TRUNK).order_by(TRUNK.c.name)
        return await self._backend.read(lambda db: [_entry(row) for row in db.execute(query)])

    async def add(self, name: str, settings: str, now: int, idempotency: Idempotency | None = None) -> None:
        """A new trunk.  Raises KeyTaken, Taken, NotSaved."""
        values = {"name": name, "settings": settings, "created_at": now, "draining_since": None}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, TRUNK, values, now, idempotency))

    async def change(self, name: str, edit: Callable[[str], str], draining: bool | None, now: int) -> TrunkEntry | None:
        """Set its settings to what ``edit`` makes of them, and whether it drains (None: as it does); None: it is not there.

        Raises NotSaved."""

        def job(db: Connection) -> TrunkEntry | None:
            before = one(db, select(TRUNK).where(TRUNK.c.name == name).with_for_update(), _entry)
            if before is None:
                return None
            since = before.draining_since if draining is None else (before.draining_since or now) if draining else None
            after = TrunkEntry(name, edit(before.settings), before.created_at, since)
            moved = {"settings": after.settings, "draining_since": after.draining_since}
            db.execute(update(TRUNK).where(TRUNK.c.name == name).values(moved))
            about(name)
            return after

        return await self._backend.write(job)

    async def remove(self, name: str, now: int) -> None:
        """Forget a trunk that has been draining for a while and that no live call goes over.  Raises TrunkKept, NotSaved."""
        await self._backend.write(lambda db: _remove(db, name, now))


def _remove(db: Connection, name: str, now: int) -> None:
    row = db.execute(select(TRUNK).where(TRUNK.c.name == name).with_for_update()).first()
    if row is None:
        raise TrunkKept("unknown")
    if row.draining_since is None or row.draining_since + DRAINED_MS > now:
        raise TrunkKept("not_draining")
    for live in db.execute(select(CALL.c.state).where(LIVE)):
        if name in codec.decode(live.state).routes.values():
            raise TrunkKept("calls")
    db.execute(delete(TRUNK).where(TRUNK.c.name == name))
    about(name)


def _entry(row: AnyRow) -> TrunkEntry:
    return TrunkEntry(row.name, row.settings, row.created_at, row.draining_since)
