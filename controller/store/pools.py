"""Pools of X numbers, and the X numbers themselves: owned numbers that bindings stand behind."""

from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from controller.core.masking import NumberState
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.routes import decode_route, encode_route, ensure_secret
from controller.store.rows import Idempotency, OwnedNumber, Page, Pool
from controller.store.tables import DISPLAY_NUMBER
from controller.store.tables_masking import CLAIM, POOL, X_NUMBER

POOL_MUTABLE = frozenset({"area_match", "cool_ms", "unknown", "prompt"})
_COUNT = select(func.count()).select_from(X_NUMBER).where(X_NUMBER.c.pool == POOL.c.id).correlate(POOL).scalar_subquery()
_POOLS = select(POOL, _COUNT.label("numbers"))
_X = ("area", "state", "pool", "use", "idle_from", "taken_until", "route")
_OWNED = select(DISPLAY_NUMBER, *(X_NUMBER.c[name] for name in _X))
_OWNED = _OWNED.outerjoin(X_NUMBER, X_NUMBER.c.number == DISPLAY_NUMBER.c.number)


class InUse(Exception):
    """What was to be removed or changed serves somebody."""


class Pools:
    """The pools of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def add(self, pool: Pool, idempotency: Idempotency | None = None) -> None:
        """A new pool.  Raises Taken (its name), KeyTaken, NotSaved."""
        values = {name: getattr(pool, name) for name in Pool.__slots__ if name != "numbers"}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, POOL, values, pool.created_at, idempotency))

    async def get(self, tenant: str, pool_id: str) -> Pool | None:
        """One pool of this tenant.  Raises Unavailable."""
        return await self._backend.read(lambda db: one(db, _mine(tenant, pool_id), _pool))

    async def change(self, tenant: str, pool_id: str, **changes: Any) -> Pool | None:
        """Set fields named in ``POOL_MUTABLE``; bindings that are there keep their cool-off.  Raises NotSaved."""
        if not changes.keys() <= POOL_MUTABLE:
            raise TypeError(f"cannot be changed: {sorted(changes.keys() - POOL_MUTABLE)}")

        def job(db: Connection) -> Pool | None:
            if changes:
                db.execute(update(POOL).where(POOL.c.id == pool_id, POOL.c.tenant == tenant).values(changes))
            return one(db, _mine(tenant, pool_id), _pool)

        return await self._backend.write(job)

    async def remove(self, tenant: str, pool_id: str) -> bool:
        """False for a pool that is not there.  Raises InUse while numbers are in it, NotSaved."""
        change = delete(POOL).where(POOL.c.id == pool_id, POOL.c.tenant == tenant)
        return await self._backend.write(lambda db: _unless_used(db, change))

    async def list(self, tenant: str, limit: int = 50, after: str | None = None) -> Page[Pool]:
        """A page of a tenant's pools.  Raises Unavailable."""
        query = newest(POOL, limit, after, _POOLS.where(POOL.c.tenant == tenant))
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _pool))


class XNumbers:
    """The numbers that tenants own, with what makes some of them an X."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def add(self, number: OwnedNumber, spot: int, idempotency: Idempotency | None = None, secret: str = "") -> None:
        """An owned number; one of kind ``x`` can stand between people.  ``secret``: as in ``change``.  Raises Taken, KeyTaken,
        NotSaved."""
        values = {name: getattr(number, name) for name in ("id", "tenant", "number", "created_at")}

        def job(db: Connection) -> None:
            add(db, DISPLAY_NUMBER, values, number.created_at, idempotency)
            if number.kind == "x":
                db.execute(insert(X_NUMBER).values(_x_values(number, spot)))
                ensure_secret(db, number.tenant, secret)

        async with self._keys.explained(idempotency):
            await self._backend.write(job)

    async def get(self, tenant: str, number_id: str) -> OwnedNumber | None:
        """One number of this tenant.  Raises Unavailable."""
        return await self._backend.read(lambda db: one(db, _owned(tenant, number_id), _number))

    async def change(self, tenant: str, number_id: str, spot: int, secret: str = "", **changes: Any) -> OwnedNumber | None:
        """Set ``state``, ``area``, ``pool``, ``route`` or ``kind`` (``x``: from now on).  ``secret``: what signs for this
        tenant from now on, unless it has one.  None: it is not there.  Raises NotSaved."""

        def job(db: Connection) -> OwnedNumber | None:
            found = one(db, _owned(tenant, number_id).with_for_update(of=DISPLAY_NUMBER), _number)
            if found is None:
                return None
            if found.kind != "x" and changes.get("kind") == "x":
                db.execute(insert(X_NUMBER).values(_x_values(found, spot)))
            moved = {name: value for name, value in changes.items() if name != "kind"}
            if "route" in moved:
                moved["route"] = encode_route(moved["route"])
                ensure_secret(db, tenant, secret)
            if moved:
                db.execute(update(X_NUMBER).where(X_NUMBER.c.number == found.number).values(moved))
            return one(db, _owned(tenant, number_id), _number)

        return await self._backend.write(job)

    async def remove(self, tenant: str, number_id: str, now: int) -> bool:
        """False for a number that is not there.  Raises InUse while somebody is bound to it or it cools off, NotSaved."""
        mine = (DISPLAY_NUMBER.c.id == number_id, DISPLAY_NUMBER.c.tenant == tenant)
        number = select(DISPLAY_NUMBER.c.number).where(*mine).scalar_subquery()

        def job(db: Connection) -> bool:
            db.execute(delete(CLAIM).where(CLAIM.c.x == number, CLAIM.c.taken_until <= now))
            return _unless_used(db, delete(DISPLAY_NUMBER).where(*mine))

        return await self._backend.write(job)

    async def list(
        self, tenant: str, kind: str | None = None, pool: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[OwnedNumber]:
        """A page of a tenant's numbers.  Raises Unavailable."""
        query = _OWNED.where(DISPLAY_NUMBER.c.tenant == tenant)
        if kind is not None:
            query = query.where(X_NUMBER.c.number.is_not(None) if kind == "x" else X_NUMBER.c.number.is_(None))
        if pool is not None:
            query = query.where(X_NUMBER.c.pool == pool)
        query = newest(DISPLAY_NUMBER, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _number))


def _unless_used(db: Connection, change: Any) -> bool:
    try:
        return db.execute(change).rowcount == 1
    except IntegrityError:
        raise InUse from None


def _mine(tenant: str, pool_id: str) -> Select[Any]:
    return _POOLS.where(POOL.c.id == pool_id, POOL.c.tenant == tenant)


def _owned(tenant: str, number_id: str) -> Select[Any]:
    return _OWNED.where(DISPLAY_NUMBER.c.id == number_id, DISPLAY_NUMBER.c.tenant == tenant)


def _x_values(number: OwnedNumber, spot: int) -> dict[str, Any]:
    state: NumberState = number.state or "active"
    fixed = {"number": number.number, "tenant": number.tenant, "area": number.area or "", "state": state, "pool": number.pool}
    return {**fixed, "use": None, "spot": spot, "idle_from": 0, "taken_until": 0, "route": encode_route(number.route)}


def _pool(row: AnyRow) -> Pool:
    return Pool(row.id, row.tenant, row.name, row.area_match, row.cool_ms, row.unknown, row.prompt, row.created_at, row.numbers)


def _number(row: AnyRow) -> OwnedNumber:
    shared = (row.id, row.tenant, row.number, row.created_at)
    if row.state is None:
        return OwnedNumber(*shared)
    times = (row.idle_from, row.taken_until)
    return OwnedNumber(*shared, "x", row.state, row.area or None, row.pool, row.use, *times, decode_route(row.route))
