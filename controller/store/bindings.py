"""Bindings: made, looked up when an X is dialled, changed, ended.  Implements ``services.bindings.BindingStore``.

A binding is over when its time is, whoever has written that down or not: every look-up compares times.  What ``expire`` and
``sweep`` do is to tell, and to tidy."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, literal_column, or_, select, tuple_, update

from controller.core.facts import Fact
from controller.core.masking import ANYONE, BY_PIN, NEVER, Binding, Choice, Dialled, Hit, Keep, claims, party_of
from controller.ports import NotSaved
from controller.store.backend import Backend
from controller.store.binding_choice import Again, bind
from controller.store.binding_rows import binding_of, binding_values, hold, own, stream_of, taken_until, tell_of
from controller.store.calls import fact
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, newest, one, page
from controller.store.rows import BindingFilter, Page
from controller.store.tables import FACT
from controller.store.tables_masking import BINDING, CLAIM, POOL, X_NUMBER

ATTEMPTS = 200
"""How often a binding is tried: each time somebody else was quicker, so the whole got on."""
_DIALLED = (X_NUMBER.c.number, X_NUMBER.c.tenant, X_NUMBER.c.state, X_NUMBER.c.use, POOL.c.unknown, POOL.c.prompt)
EVERY = BindingFilter()
ACTIVE = BINDING.c.state == literal_column("'active'")
MORTAL = CLAIM.c.taken_until < literal_column(str(NEVER))
"""Both as they stand in the indexes that are for them, so that these are used."""


def _look_up() -> Select[Any]:
    """An X (``number``), its pool, and the claims there of the parties ``one`` and ``other`` with ``keys`` as extension.

    Made once: putting it together costs as much as asking it."""
    party = CLAIM.c.party.in_((bindparam("one"), bindparam("other")))
    fits = and_(CLAIM.c.x == X_NUMBER.c.number, CLAIM.c.extension == bindparam("keys"), party)
    claimed = X_NUMBER.outerjoin(POOL, POOL.c.id == X_NUMBER.c.pool).outerjoin(CLAIM, fits)
    claimed = claimed.outerjoin(BINDING, and_(BINDING.c.id == CLAIM.c.binding, ACTIVE))
    query = select(*_DIALLED, CLAIM.c.party, CLAIM.c.side, *BINDING.c)
    return query.select_from(claimed).where(X_NUMBER.c.number == bindparam("number"))


LOOK_UP = _look_up()


class Bindings:
    """The bindings of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def bind(self, wanted: Binding, choice: Choice, keep: Keep | None = None) -> Binding:
        """A new binding, with what it left open chosen: x and y from ``wanted.pool``, the extension.

        ``keep``: gives the idempotency record of what was made.  Raises NumberConflict, NumberUnknown, PoolExhausted, KeyTaken,
        NotSaved."""
        probe = None if keep is None else keep(wanted)
        async with self._keys.explained(probe):
            for _ in range(ATTEMPTS):
                try:
                    return await self._backend.write(lambda db: bind(db, wanted, choice, keep))
                except Again:
                    continue
        raise NotSaved("too many want the same numbers at once")

    async def dialled(self, x: str, caller: str) -> tuple[Dialled, list[Hit]] | None:
        """An X with the claims that fit the caller; None for a number that is none.  Raises Unavailable."""
        what = {"number": x, "one": party_of(caller), "other": ANYONE, "keys": ""}
        return await self._backend.read(lambda db: _looked(db, what))

    async def keyed(self, x: str, what: str, keys: str) -> tuple[Dialled, list[Hit]] | None:
        """The same for what a caller keyed in: an ``extension`` or a ``pin``.  Raises Unavailable."""
        return await self._backend.read(lambda db: keyed(db, x, what, keys))

    async def called(self, binding_id: str, now: int) -> Binding | None:
        """A call goes through: its clock starts again where it runs from the last call.  None when the binding has ended."""

        def edit(binding: Binding) -> Binding:
            runs = binding.ttl_ms is not None and binding.ttl_from == "last_call"
            return replace(binding, last_call_at=now, expires_at=now + (binding.ttl_ms or 0) if runs else binding.expires_at)

        query = select(BINDING).where(BINDING.c.id == binding_id)
        return await self._backend.write(lambda db: _edited(db, query, now, edit, ""))

    async def change(self, tenant: str, binding_id: str, now: int, edit: Callable[[Binding], Binding]) -> Binding | None:
        """Change a binding that lives; None for one that has ended, or is not there.  Raises NotSaved."""
        return await self._backend.write(lambda db: _edited(db, own(tenant, binding_id), now, edit, "binding.changed"))

    async def release(self, tenant: str, binding_id: str, now: int) -> tuple[Binding, bool] | None:
        """End a binding: how it is now, and whether it lived.  None for one that is not there.  Raises NotSaved."""
        return await self._backend.write(lambda db: _release(db, tenant, binding_id, now))

    async def expire(self, now: int, limit: int = 200) -> list[Binding]:
        """Write down which bindings are over: they are expired from then on.  Raises NotSaved."""
        return await self._backend.write(lambda db: _expire(db, now, limit))

    async def sweep(self, now: int, limit: int = 1000) -> int:
        """Delete claims that are dead; how many.  Raises NotSaved."""
        key = tuple_(CLAIM.c.x, CLAIM.c.party, CLAIM.c.extension)
        dead = select(*key).where(MORTAL, CLAIM.c.taken_until <= now).limit(limit).with_for_update(skip_locked=True)

        def job(db: Connection) -> int:
            found = [tuple(row) for row in db.execute(dead)]
            if found:
                db.execute(delete(CLAIM).where(CLAIM.c.taken_until <= now, key.in_(found)))
            return len(found)

        return await self._backend.write(job)

    async def get(self, tenant: str, binding_id: str) -> Binding | None:
        """One binding of this tenant, also after its end.  Raises Unavailable."""
        return await self._backend.read(lambda db: one(db, own(tenant, binding_id), binding_of))

    async def facts(self, tenant: str, binding_id: str, after: int = 0, limit: int = 200) -> list[Fact]:
        """What happened to a binding, in order.  Raises Unavailable."""
        its_own = own(tenant, binding_id).with_only_columns(BINDING.c.id).exists()
        query = select(FACT).where(FACT.c.call == stream_of(binding_id), FACT.c.sequence > after, its_own)
        query = query.order_by(FACT.c.sequence).limit(limit)
        return await self._backend.read(lambda db: [fact(row) for row in db.execute(query)])

    async def list(self, tenant: str, where: BindingFilter = EVERY, limit: int = 50, after: str | None = None) -> Page[Binding]:
        """A page of a tenant's bindings, newest first.  Raises Unavailable."""
        query = select(BINDING).where(BINDING.c.tenant == tenant)
        if where.state is not None:
            query = query.where(BINDING.c.state == where.state)
        if where.number is not None:
            query = query.where(or_(BINDING.c.a == where.number, and_(BINDING.c.b == where.number, BINDING.c.b != "")))
        if where.x is not None:
            query = query.where(or_(BINDING.c.x == where.x, BINDING.c.y == where.x))
        if where.reference is not None:
            query = query.where(BINDING.c.reference == where.reference)
        if where.since is not None:
            query = query.where(BINDING.c.created_at >= where.since)
        if where.until is not None:
            query = query.where(BINDING.c.created_at < where.until)
        query = newest(BINDING, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, binding_of))


def keyed(db: Connection, x: str, what: str, keys: str) -> tuple[Dialled, list[Hit]] | None:
    """An X with the claims that fit what was keyed in."""
    party = BY_PIN if what == "pin" else ANYONE
    return _looked(db, {"number": x, "one": party, "other": party, "keys": keys or "-"})


def _looked(db: Connection, what: dict[str, str]) -> tuple[Dialled, list[Hit]] | None:
    rows = db.execute(LOOK_UP, what).all()
    if not rows:
        return None
    hits = [Hit(binding_of(row), row.party, row.side) for row in rows if row._mapping[BINDING.c.id] is not None]
    return _dialled(rows[0]), hits


def _edited(db: Connection, query: Any, now: int, edit: Callable[[Binding], Binding], kind: str) -> Binding | None:
    before = one(db, query.with_for_update(), binding_of)
    if before is None or not before.lives(now):
        return None
    after = edit(before)
    if kind:
        after = replace(after, sequence=before.sequence + 1)
        tell_of(db, kind, [after], now)
    db.execute(update(BINDING).where(BINDING.c.id == after.id).values(_moved(before, after)))
    if after.expires_at != before.expires_at:
        kept = db.execute(update(CLAIM).where(CLAIM.c.binding == after.id).values(taken_until=taken_until(after))).rowcount
        if kept != len(claims(after)):  # by another machine's clock it was over, and somebody has taken its place
            raise NotSaved("the binding has just ended")
        hold(db, after)
    return after


def _moved(before: Binding, after: Binding) -> dict[str, Any]:
    old, new = binding_values(before), binding_values(after)
    return {name: value for name, value in new.items() if value != old[name]} or {"id": after.id}


def _release(db: Connection, tenant: str, binding_id: str, now: int) -> tuple[Binding, bool] | None:
    binding = one(db, own(tenant, binding_id).with_for_update(), binding_of)
    if binding is None or not binding.lives(now):
        return None if binding is None else (binding, False)
    ended = replace(binding, state="released", ended_at=now, sequence=binding.sequence + 1)
    _end(db, ended)
    tell_of(db, "binding.released", [ended], now)
    return ended, True


def _end(db: Connection, ended: Binding) -> None:
    """Write a binding's end, and let its claims cool off."""
    moved = {"state": ended.state, "ended_at": ended.ended_at, "sequence": ended.sequence}
    db.execute(update(BINDING).where(BINDING.c.id == ended.id).values(moved))
    mine = CLAIM.c.binding == ended.id
    if ended.cool_ms:
        db.execute(update(CLAIM).where(mine).values(taken_until=taken_until(ended)))
    else:
        db.execute(delete(CLAIM).where(mine))
    if ended.state == "released":  # of one that expired its number has the times already, and may have others since
        hold(db, ended)


def _expire(db: Connection, now: int, limit: int) -> list[Binding]:
    query = select(BINDING).where(ACTIVE, BINDING.c.expires_at <= now)
    query = query.order_by(BINDING.c.expires_at).limit(limit).with_for_update(skip_locked=True)
    ended = []
    for row in db.execute(query).all():
        binding = binding_of(row)
        over = replace(binding, state="expired", ended_at=binding.expires_at, sequence=binding.sequence + 1)
        _end(db, over)
        ended.append(over)
    if ended:
        tell_of(db, "binding.expired", ended, now)
    return ended


def _dialled(row: AnyRow) -> Dialled:
    return Dialled(
        row.number,
        row._mapping[X_NUMBER.c.tenant],
        row._mapping[X_NUMBER.c.state],
        row.use,
        row.unknown or "reject",
        row.prompt,
    )
