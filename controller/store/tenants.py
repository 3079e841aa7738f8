"""Tenants, and the numbers they own and may show."""

from typing import Any

from sqlalchemy import Connection, delete, select, update

from controller.store.backend import Backend
from controller.store.endpoints import rotated
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import DisplayNumber, Idempotency, Page, Rotation, Signing, Tenant
from controller.store.tables import DISPLAY_NUMBER, TENANT

BOUNDS = ("requests_per_second", "calls_per_second", "concurrent_calls")
MUTABLE = frozenset({"name", "suspended_at", *BOUNDS})


class Tenants:
    """Who calls are made for."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def is_empty(self) -> bool:
        """True before the first start."""
        return await self._backend.read(lambda db: db.execute(select(TENANT.c.id).limit(1)).first()) is None

    async def get(self, tenant_id: str) -> Tenant | None:
        """One tenant."""
        return await self._backend.read(lambda db: one(db, select(TENANT).where(TENANT.c.id == tenant_id), _tenant))

    async def add(self, tenant_id: str, name: str, now: int, idempotency: Idempotency | None = None) -> None:
        """A new tenant.  Raises KeyTaken, Taken, NotSaved."""
        values = {"id": tenant_id, "name": name, "created_at": now}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, TENANT, values, now, idempotency))

    async def change(self, tenant_id: str, **changes: Any) -> Tenant | None:
        """Set fields named in ``MUTABLE``; None for an unknown tenant.  Raises NotSaved."""
        if not changes.keys() <= MUTABLE:
            raise TypeError(f"cannot be changed: {sorted(changes.keys() - MUTABLE)}")

        def job(db: Connection) -> Tenant | None:
            if changes:
                db.execute(update(TENANT).where(TENANT.c.id == tenant_id).values(changes))
            return one(db, select(TENANT).where(TENANT.c.id == tenant_id), _tenant)

        return await self._backend.write(job)

    async def signing(self, tenant: str) -> Signing | None:
        """What signs for the ``status_url`` of its calls; None until there is such a call."""
        query = select(TENANT).where(TENANT.c.id == tenant, TENANT.c.secret.is_not(None))
        return await self._backend.read(
            lambda db: one(db, query, lambda row: Signing(row.secret, row.old_secret, row.old_secret_until))
        )

    async def rotate_signing(self, tenant: str, rotate: Rotation) -> bool:
        """Sign with a new secret; False: no such tenant.  Raises NotSaved."""

        def job(db: Connection) -> bool:
            row = db.execute(select(TENANT).where(TENANT.c.id == tenant).with_for_update()).first()
            if row is not None:
                db.execute(update(TENANT).where(TENANT.c.id == tenant).values(rotated(row, rotate)))
            return row is not None

        return await self._backend.write(job)

    async def list(self, limit: int = 50, after: str | None = None) -> Page[Tenant]:
        """A page of all tenants, by id from the last."""
        query = newest(TENANT, limit, after, select(TENANT))
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _tenant))


class Numbers:
    """The numbers that a tenant owns; nobody else may show them."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def owned(self, tenant: str) -> set[str]:
        """All numbers of a tenant."""
        query = select(DISPLAY_NUMBER.c.number).where(DISPLAY_NUMBER.c.tenant == tenant)
        return await self._backend.read(lambda db: set(db.execute(query).scalars()))

    async def add(self, number_id: str, tenant: str, number: str, now: int, idempotency: Idempotency | None = None) -> None:
        """A number that its tenant owns.  Raises Taken when somebody has it, KeyTaken, NotSaved."""
        values = {"id": number_id, "tenant": tenant, "number": number, "created_at": now}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, DISPLAY_NUMBER, values, now, idempotency))

    async def remove(self, tenant: str, number_id: str) -> bool:
        """False for a number that the tenant does not have.  Raises NotSaved."""
        change = delete(DISPLAY_NUMBER).where(DISPLAY_NUMBER.c.id == number_id, DISPLAY_NUMBER.c.tenant == tenant)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def list(self, tenant: str, limit: int = 50, after: str | None = None) -> Page[DisplayNumber]:
        """A page of a tenant's numbers."""
        query = newest(DISPLAY_NUMBER, limit, after, select(DISPLAY_NUMBER).where(DISPLAY_NUMBER.c.tenant == tenant))
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _number))


def _tenant(row: AnyRow) -> Tenant:
    return Tenant(row.id, row.name, row.created_at, row.suspended_at, *(getattr(row, bound) for bound in BOUNDS))


def _number(row: AnyRow) -> DisplayNumber:
    return DisplayNumber(row.id, row.tenant, row.number, row.created_at)
