"""Marks that a customer is to be forgotten by an X: to whom they spoke before is not looked at any more."""

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from controller.store.backend import Backend
from controller.store.tables import TENANT
from controller.store.tables_agents import FORGOTTEN


class LastAgents:
    """The marks of all tenants."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def forgotten(self, tenant: str, x: str, customer: str) -> int:
        """When the customer was last forgotten (ms); 0: never.  Raises Unavailable."""
        query = select(FORGOTTEN.c.at).where(*_mark(tenant, x, customer))
        return await self._backend.read(lambda db: db.execute(query).scalar_one_or_none() or 0)

    async def forget(self, tenant: str, x: str, customer: str, now: int) -> None:
        """Forget them now; of two at once the later counts.  Raises NotSaved."""

        def job(db: Connection) -> None:
            db.execute(select(TENANT.c.id).where(TENANT.c.id == tenant).with_for_update(key_share=True))
            db.execute(delete(FORGOTTEN).where(*_mark(tenant, x, customer)))
            db.execute(insert(FORGOTTEN).values(tenant=tenant, x=x, customer=customer, at=now))

        await self._backend.write(job)

    async def sweep(self, before: int) -> int:
        """Delete the marks from before a time (ms), of all tenants; how many.  Raises NotSaved."""
        return await self._backend.write(lambda db: db.execute(delete(FORGOTTEN).where(FORGOTTEN.c.at < before)).rowcount)


def _mark(tenant: str, x: str, customer: str) -> tuple[ColumnElement[bool], ...]:
    return FORGOTTEN.c.tenant == tenant, FORGOTTEN.c.x == x, FORGOTTEN.c.customer == customer
