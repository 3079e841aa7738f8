"""The nodes that were added at run time, and the drains of all."""

from typing import Literal

from sqlalchemy import Connection, delete, insert, select, update

from controller.audit import about
from controller.ports_fleet import NodeEntry
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add
from controller.store.rows import Idempotency
from controller.store.tables import CALL, RECORDING
from controller.store.tables_nodes import NODE

DRAINED_MS = 5000
"""How long a node must have been draining before it goes: by then every controller has heard of it."""


class NodeKept(Exception):
    """The node cannot be removed.  ``why``: one of the literals."""

    def __init__(self, why: Literal["unknown", "not_draining", "calls", "recordings"]) -> None:
        super().__init__(why)
        self.why = why


class Nodes:
    """Implements ``ports.NodeStore``.  Secrets are in ``settings``, and nowhere else."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def all(self) -> list[NodeEntry]:
        """Every row, by name.  Raises Unavailable."""
        query = select(NODE).order_by(NODE.c.name)
        return await self._backend.read(lambda db: [_entry(row) for row in db.execute(query)])

    async def add(self, name: str, settings: str, now: int, idempotency: Idempotency | None = None) -> None:
        """A new node.  Raises KeyTaken, Taken (also for a name that a drained node of the configuration has), NotSaved."""
        values = {"name": name, "settings": settings, "created_at": now, "draining_since": None}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, NODE, values, now, idempotency))

    async def drain(self, name: str, on: bool, now: int) -> None:
        """Give a node no new calls, or let it have them again.  It need have no row: those of the configuration have none.

        Raises NotSaved."""
        await self._backend.write(lambda db: _drain(db, name, now if on else None, now))

    async def remove(self, name: str, now: int) -> None:
        """Forget a node that was added, has been draining for a while, has no live calls and nothing in its spool.

        Raises NodeKept, NotSaved."""
        await self._backend.write(lambda db: _remove(db, name, now))


def _drain(db: Connection, name: str, since: int | None, now: int) -> bool:
    changed = db.execute(update(NODE).where(NODE.c.name == name).values(draining_since=since)).rowcount
    if not changed:
        db.execute(insert(NODE).values(name=name, settings=None, created_at=now, draining_since=since))
    return True


def _remove(db: Connection, name: str, now: int) -> None:
    row = db.execute(select(NODE).where(NODE.c.name == name, NODE.c.settings.is_not(None)).with_for_update()).first()
    if row is None:
        raise NodeKept("unknown")
    if row.draining_since is None or row.draining_since + DRAINED_MS > now:
        raise NodeKept("not_draining")
    live = (CALL.c.node == name, CALL.c.started_at.is_not(None), CALL.c.ended_at.is_(None))
    if db.execute(select(CALL.c.id).where(*live).limit(1)).first() is not None:
        raise NodeKept("calls")
    waiting = (RECORDING.c.node == name, RECORDING.c.status.in_(("recording", "paused", "stopped")))
    if db.execute(select(RECORDING.c.id).where(*waiting).limit(1)).first() is not None:
        raise NodeKept("recordings")
    db.execute(delete(NODE).where(NODE.c.name == name))
    about(name)


def _entry(row: AnyRow) -> NodeEntry:
    return NodeEntry(row.name, row.settings, row.created_at, row.draining_since)
