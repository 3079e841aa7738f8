"""Extensions and PINs that callers key in, and the guards against guessing.

A look-up, the count of what went wrong before, and the note of what goes wrong now are one transaction, and a tenant's tries
wait for one another: however many calls guess at once, no more wrong keys are borne than the guards say.  A tenant has at most
as many rows as its guard bears.
"""

from sqlalchemy import Connection, case, delete, func, insert, select

from controller.core.masking import Dialled, Guard, Guards, Hit, Tried, Try
from controller.store.backend import Backend
from controller.store.bindings import keyed
from controller.store.tables import TENANT
from controller.store.tables_masking import WRONG_KEY


class WrongKeys:
    """The wrong keys of all tenants."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def tried(self, one: Try, guards: Guards) -> Tried:
        """Look up what was keyed in.  Asked again it is the same try.  Raises NotSaved."""
        return await self._backend.write(lambda db: _tried(db, one, guards))

    async def locked(self, tenant: str, x: str, caller: str, now: int, guards: Guards) -> Guard | None:
        """The guard that lets this caller try nothing on this X.  Raises Unavailable."""
        return await self._backend.read(lambda db: _locked(db, tenant, x, caller, now, guards))

    async def sweep(self, before: int) -> int:
        """Delete the tries from before a time (ms), of all tenants; how many.  Raises NotSaved."""
        return await self._backend.write(lambda db: db.execute(delete(WRONG_KEY).where(WRONG_KEY.c.at < before)).rowcount)


def _tried(db: Connection, one: Try, guards: Guards) -> Tried:
    db.execute(select(TENANT.c.id).where(TENANT.c.id == one.tenant).with_for_update(key_share=True))
    if db.execute(select(WRONG_KEY.c.id).where(WRONG_KEY.c.id == one.id)).first() is not None:
        return Tried("wrong")
    if (guard := _locked(db, one.tenant, one.x, one.caller, one.at, guards)) is not None:
        return Tried("locked", guard=guard)
    dialled, hits = _found(db, one)
    if hits:
        return Tried("found", dialled, hits)
    db.execute(delete(WRONG_KEY).where(WRONG_KEY.c.tenant == one.tenant, WRONG_KEY.c.at <= one.at - guards.within_ms))
    values = {name: getattr(one, name) for name in ("id", "tenant", "x", "caller", "at")}
    db.execute(insert(WRONG_KEY).values(values))
    return Tried("wrong")


def _found(db: Connection, one: Try) -> tuple[Dialled | None, tuple[Hit, ...]]:
    found = keyed(db, one.x, one.what, one.keys)
    if found is None or found[0].tenant != one.tenant:
        return None, ()
    return found[0], tuple(hit for hit in found[1] if hit.binding.lives(one.at))


def _locked(db: Connection, tenant: str, x: str, caller: str, now: int, guards: Guards) -> Guard | None:
    by_caller, by_x = (func.sum(case((what, 1), else_=0)) for what in (WRONG_KEY.c.caller == caller, WRONG_KEY.c.x == x))
    query = select(by_caller.label("caller"), by_x.label("x"), func.count().label("tenant"))
    found = db.execute(query.where(WRONG_KEY.c.tenant == tenant, WRONG_KEY.c.at > now - guards.within_ms)).one()
    bounds: dict[Guard, int] = {"caller": guards.per_caller, "x": guards.per_x, "tenant": guards.per_tenant}
    return next((guard for guard, most in bounds.items() if (found._mapping[guard] or 0) >= most), None)
