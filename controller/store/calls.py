"""Calls and their facts: the units that the engine decides, and what is read of them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, tuple_

from controller.core.call import Call
from controller.core.facts import Fact
from controller.ports import NotSaved, Unit
from controller.store import codec
from controller.store.audit import rows_of
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.leases import Held
from controller.store.queries import AnyRow, one, page
from controller.store.rows import CallFilter, Page
from controller.store.tables import CALL, FACT
from controller.store.units import unit_rows

QUEUED = and_(CALL.c.started_at.is_(None), CALL.c.ended_at.is_(None))
LIVE = and_(CALL.c.started_at.is_not(None), CALL.c.ended_at.is_(None))
STATUS: dict[str, ColumnElement[bool]] = {"live": LIVE, "queued": QUEUED, "ended": CALL.c.ended_at.is_not(None)}


EVERY = CallFilter()


class Calls:
    """Implements ``ports.CallStore``."""

    def __init__(self, backend: Backend, held: Held, keys: IdempotencyKeys) -> None:
        self._backend, self._held, self._keys = backend, held, keys

    async def commit(self, unit: Unit) -> None:
        """Write a unit.  Raises NotSaved; of these KeyTaken and LeaseLost (also Overtaken) say why."""
        try:
            rows = unit_rows(unit, self._held.epoch(unit.call.node))
        except (TypeError, ValueError) as error:
            raise NotSaved(f"the unit is no JSON: {type(error).__name__}") from None
        noted = rows_of(unit.notes, "call_" + unit.call.id) if unit.notes else []
        rows.notes = [row for _, row in noted]
        if unit.idempotency is None:
            await self._backend.commit(rows)
        else:
            async with self._keys.explained(unit.idempotency):
                await self._backend.commit(rows)
        for note, _ in noted:
            note.written = True

    async def live(self, node: str) -> list[Call]:
        """The calls of a node that have started and not ended."""
        query = select(CALL.c.state).where(LIVE, CALL.c.node == node).order_by(CALL.c.id)
        return await self._backend.read(lambda db: _calls(db, query))

    async def nodes(self) -> list[str]:
        """The nodes whose calls have started and not ended."""
        query = select(CALL.c.node).where(LIVE, CALL.c.node != "").distinct()
        return await self._backend.read(lambda db: [str(row.node) for row in db.execute(query)])

    async def queued(self, limit: int, after: Call | None = None) -> list[Call]:
        """Calls that wait for their start, oldest first, from the one after ``after`` on."""
        query = select(CALL.c.state).where(QUEUED).order_by(CALL.c.requested_at, CALL.c.id).limit(limit)
        if after is not None:
            query = query.where(tuple_(CALL.c.requested_at, CALL.c.id) > tuple_(after.requested_at, after.id))
        return await self._backend.read(lambda db: _calls(db, query))

    async def all_queued(self, at_once: int = 1000) -> list[Call]:
        """All of them, however many, read in pages."""
        found: list[Call] = []
        while some := await self.queued(at_once, found[-1] if found else None):
            found += some
        return found

    async def get(self, call_id: str) -> Call | None:
        """One call of any tenant."""
        query = select(CALL.c.state).where(CALL.c.id == call_id)
        return await self._backend.read(lambda db: one(db, query, _call))

    async def find(self, tenant: str, call_id: str) -> Call | None:
        """One call of this tenant."""
        query = select(CALL.c.state).where(CALL.c.id == call_id, CALL.c.tenant == tenant)
        return await self._backend.read(lambda db: one(db, query, _call))

    async def facts(self, tenant: str, call_id: str, after_sequence: int = 0, limit: int = 200) -> list[Fact]:
        """A call's timeline, in order; empty for another tenant's call."""
        query = (
            select(FACT)
            .join(CALL, CALL.c.id == FACT.c.call)
            .where(CALL.c.id == call_id, CALL.c.tenant == tenant, FACT.c.sequence > after_sequence)
            .order_by(FACT.c.sequence)
            .limit(limit)
        )
        return await self._backend.read(lambda db: [fact(row) for row in db.execute(query)])

    async def list(self, tenant: str, where: CallFilter = EVERY, limit: int = 50, after: str | None = None) -> Page[Call]:
        """A page of a tenant's calls, newest first."""
        query = select(CALL.c.id, CALL.c.state).where(*_conditions(tenant, where))
        if after is not None:
            asked = select(CALL.c.requested_at).where(CALL.c.id == after, CALL.c.tenant == tenant).scalar_subquery()
            query = query.where(tuple_(_order(where), CALL.c.id) < tuple_(asked, after))
        if where.status == "queued" and not _few(where):  # they may be many, and those that have ended many more
            query = query.with_hint(CALL, "INDEXED BY ix_call_queued", "sqlite")
        query = query.order_by(_order(where).desc(), CALL.c.id.desc()).limit(limit + 1)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _call))


def _conditions(tenant: str, where: CallFilter) -> Iterable[ColumnElement[bool]]:
    """The filter in SQL, and always the tenant."""
    mine = CALL.c.tenant == tenant
    if where.number is not None:
        yield or_(and_(mine, CALL.c.caller == where.number), and_(mine, CALL.c.callee == where.number))
    elif where.status in (None, "ended", "queued"):
        yield mine
    else:  # calls that have not ended are few: they are looked up by that, not among all of the tenant's
        yield CALL.c.tenant.concat("") == tenant
        yield CALL.c.node > ""  # those that wait have none yet
    if where.status is not None:
        yield STATUS.get(where.status, and_(CALL.c.ended_at.is_(None), CALL.c.status == where.status))
    for name in ("kind", "disposition", "reference", "binding", "node", "retry_of"):
        if (value := getattr(where, name)) is not None:
            yield CALL.c[name] == value
    if where.since is not None:
        yield CALL.c.requested_at >= where.since
    if where.until is not None:
        yield CALL.c.requested_at < where.until


def _order(where: CallFilter) -> ColumnElement[int]:
    """By time.  Where few calls are expected it is told so that no index gives this order: a database without statistics
    would walk through all calls of the tenant in it, instead of looking up the few."""
    return CALL.c.requested_at + 0 if _few(where) else CALL.c.requested_at


def _few(where: CallFilter) -> bool:
    return where.number is not None or where.reference is not None or where.binding is not None


def fact(row: AnyRow) -> Fact:
    """A row of ``fact`` as a Fact."""
    return Fact(row.call, row.sequence, row.type, row.at, codec.decode_data(row.data))


def _call(row: AnyRow) -> Call:
    return codec.decode(row.state)


def _calls(connection: Connection, query: Select[Any]) -> list[Call]:
    return [_call(row) for row in connection.execute(query)]
