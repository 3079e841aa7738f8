"""The audit log: rows come along with what they tell of, in its own transaction, or by themselves."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, delete, select, text

from controller.audit import Note, Row, carrying, current
from controller.store.backend import Backend, Job
from controller.store.queries import AnyRow, newest, page
from controller.store.retention import first_id_of
from controller.store.rows import Audit, AuditFilter, Page
from controller.store.tables import AUDIT
from controller.store.units import AUDIT_ROW

T = TypeVar("T")
INSERT = text(
    f"INSERT INTO audit ({', '.join(AUDIT_ROW)}) VALUES ({', '.join(':' + name for name in AUDIT_ROW)})"  # noqa: S608 - our names
    " ON CONFLICT (id) DO NOTHING"
)
"""A row that is there already was written by a commit whose answer we did not hear."""
EVERY = AuditFilter()


def insert_rows(db: Connection, rows: Sequence[Row]) -> int:
    """Add rows; one that is there already stays.  How many were given."""
    if rows:
        db.execute(INSERT, [dict(zip(AUDIT_ROW, row, strict=True)) for row in rows])
    return len(rows)


def carry(job: Job[T]) -> tuple[Job[T], Callable[[], None]]:
    """The job, taking along the row of the request that it works for if it has an effect (it names what it made, or its result
    is true); and what to call once it is committed."""
    note = current()
    if note is None or note.written or note.over:
        return job, _nothing
    taken = False

    def run(db: Connection) -> T:
        nonlocal taken
        note.target = ""
        with carrying(note):
            result = job(db)
        row = note.row() if result or note.target else None
        if row is not None:
            taken = insert_rows(db, (row,)) > 0
        return result

    def committed() -> None:
        note.written = note.written or taken

    return run, committed


def _nothing() -> None:
    """No row was taken along."""


def rows_of(notes: Sequence[Note], target: str) -> list[tuple[Note, Row]]:
    """The rows that are to be written with a unit."""
    return [(note, row) for note in notes if (row := note.row(target)) is not None]


class AuditLog:
    """Who did what.  Implements ``ports.AuditStore``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def append(self, rows: Sequence[Row]) -> None:
        """Add rows by themselves.  Raises NotSaved."""
        with carrying(None):
            await self._backend.write(lambda db: insert_rows(db, rows))

    async def list(self, tenant: str, limit: int = 50, after: str | None = None, where: AuditFilter = EVERY) -> Page[Audit]:
        """A page of a tenant's entries, newest first."""
        query = select(AUDIT).where(AUDIT.c.tenant == tenant)
        if where.actor is not None:
            query = query.where(AUDIT.c.actor == where.actor)
        if where.target is not None:
            query = query.where(AUDIT.c.target == where.target)
        if where.since is not None:
            query = query.where(AUDIT.c.at >= where.since)
        if where.until is not None:
            query = query.where(AUDIT.c.at < where.until)
        chosen = newest(AUDIT, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(chosen).all(), limit, _audit))

    async def forget(self, before: int, limit: int = 1000) -> int:
        """Delete up to ``limit`` entries from before a time (ms); how many.  Raises NotSaved."""
        oldest = select(AUDIT.c.id).where(AUDIT.c.id < first_id_of(before)).order_by(AUDIT.c.id).limit(limit)
        change = delete(AUDIT).where(AUDIT.c.id.in_(oldest))
        return await self._backend.write(lambda db: db.execute(change).rowcount)


def _audit(row: AnyRow) -> Audit:
    return Audit(row.id, row.tenant, row.at, row.actor, row.action, row.target, row.data)
