"""What is kept of policies, and which legs were dialled lately."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, func, or_, select, text, tuple_, update

from controller.core.policy_state import Kept, LegUsed, ListEntry, ListName, Marks, Stop, is_callee
from controller.store import codec
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import Idempotency, Page
from controller.store.tables import CALL, DISPLAY_NUMBER, TENANT
from controller.store.tables_policy import POLICY, POLICY_LIST

MOST_ENTRIES = 200_000
"""Entries of one list: all lists of all tenants are in memory."""
AT_ONCE = 500
"""Calls that are read in one go."""


class ListFull(Exception):
    """The list has ``MOST_ENTRIES`` entries."""


class _Leg(msgspec.Struct):
    """What counts of a stored leg."""

    id: str
    name: str
    number: str
    dialed_at: int | None = None
    answered_at: int | None = None
    ended_at: int | None = None
    verdict: str | None = None
    arrived: bool = False


class _Wanted(msgspec.Struct):
    """Which leg is an agent's."""

    leg: str | None = None


class _Vars(msgspec.Struct):
    """What counts of a call's variables."""

    agent_wanted: _Wanted | None = None


class _Call(msgspec.Struct):
    """The same of a call: the rest of its state is passed over."""

    id: str
    tenant: str
    kind: str
    legs: list[_Leg] = []
    vars: _Vars = msgspec.field(default_factory=_Vars)


_calls = msgspec.json.Decoder(_Call)


class Policies:
    """Settings, kill switches and lists of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    # --- what is in force

    async def marks(self) -> Marks:
        """By what a change is noticed."""

        def job(db: Connection) -> Marks:
            versions = {row.tenant: row.version for row in db.execute(select(POLICY.c.tenant, POLICY.c.version))}
            pace = (TENANT.c.calls_per_second, TENANT.c.concurrent_calls)
            bound = select(TENANT.c.id, *pace).where(or_(*(column.is_not(None) for column in pace)))
            limits = {row.id: (row.calls_per_second, row.concurrent_calls) for row in db.execute(bound)}
            suspended = db.execute(select(TENANT.c.id).where(TENANT.c.suspended_at.is_not(None))).scalars()
            count, last = db.execute(select(func.count(), func.max(DISPLAY_NUMBER.c.id))).one()
            return Marks(versions, frozenset(suspended), (count, last or ""), limits)

        return await self._backend.read(job)

    async def kept(self, tenant: str) -> tuple[int, Kept]:
        """A tenant's policy, and which version that is (0: none yet)."""

        def job(db: Connection) -> tuple[int, Kept]:
            row = db.execute(select(POLICY).where(POLICY.c.tenant == tenant)).first()
            lists: dict[str, set[str]] = {"block": set(), "allow": set(), "dnc": set()}
            query = select(POLICY_LIST.c.list, POLICY_LIST.c.number).where(POLICY_LIST.c.tenant == tenant)
            for entry in db.execute(query):
                lists[entry.list].add(entry.number)
            block, allow, dnc = (frozenset(lists[name]) for name in ("block", "allow", "dnc"))
            if row is None:
                return 0, Kept(block=block, allow=allow, dnc=dnc)
            return row.version, Kept(codec.decode_data(row.settings), _stop(row), block, allow, dnc)

        return await self._backend.read(job)

    async def numbers(self) -> dict[str, str]:
        """Every number that this installation itself answers, with its tenant."""
        query = select(DISPLAY_NUMBER.c.number, DISPLAY_NUMBER.c.tenant)
        return await self._backend.read(lambda db: {row.number: row.tenant for row in db.execute(query)})

    # --- changes

    async def change(self, tenant: str, settings: Mapping[str, Any], unset: frozenset[str]) -> None:
        """Set some settings and take others back.  Raises NotSaved."""

        def job(db: Connection) -> bool:
            _touch(db, tenant)
            row = db.execute(select(POLICY.c.settings).where(POLICY.c.tenant == tenant)).one()
            kept = {name: value for name, value in codec.decode_data(row.settings).items() if name not in unset}
            now = codec.encode_data({**kept, **settings})
            db.execute(update(POLICY).where(POLICY.c.tenant == tenant).values(settings=now))
            return True

        await self._backend.write(job)

    async def stop(self, tenant: str, stop: Stop | None) -> None:
        """Set a kill switch, or take it back.  ``tenant`` may be EVERYONE.  Raises NotSaved."""
        values = {
            "stopped_at": stop.since if stop else None,
            "end_calls": int(stop.end_calls) if stop else 0,
            "reason": stop.reason if stop else "",
        }

        def job(db: Connection) -> bool:
            _touch(db, tenant)
            db.execute(update(POLICY).where(POLICY.c.tenant == tenant).values(values))
            return True

        await self._backend.write(job)

    async def add(self, entry: ListEntry, tenant: str, which: ListName, idempotency: Idempotency | None = None) -> None:
        """Put a number on a list.  Raises Taken when it is there, ListFull, KeyTaken, NotSaved."""
        values = {
            "id": entry.id, "tenant": tenant, "list": which, "number": entry.number, "note": entry.note,
            "created_at": entry.created_at,
        }  # fmt: skip
        mine = (POLICY_LIST.c.tenant == tenant, POLICY_LIST.c.list == which)

        def job(db: Connection) -> bool:
            if db.execute(select(func.count()).select_from(POLICY_LIST).where(*mine)).scalar_one() >= MOST_ENTRIES:
                raise ListFull
            _touch(db, tenant)
            add(db, POLICY_LIST, values, entry.created_at, idempotency)
            return True

        async with self._keys.explained(idempotency):
            await self._backend.write(job)

    async def find(self, tenant: str, which: ListName, entry: str) -> ListEntry | None:
        """One entry of a tenant's list.  Raises Unavailable."""
        mine = (POLICY_LIST.c.id == entry, POLICY_LIST.c.tenant == tenant, POLICY_LIST.c.list == which)
        return await self._backend.read(lambda db: one(db, select(POLICY_LIST).where(*mine), _entry))

    async def remove(self, tenant: str, which: ListName, entry: str) -> bool:
        """Take an entry off a list; False for one that is not there.  Raises NotSaved."""
        mine = (POLICY_LIST.c.id == entry, POLICY_LIST.c.tenant == tenant, POLICY_LIST.c.list == which)

        def job(db: Connection) -> bool:
            gone = db.execute(delete(POLICY_LIST).where(*mine)).rowcount == 1
            if gone:
                _touch(db, tenant)
            return gone

        return await self._backend.write(job)

    # --- what was dialled

    async def used(self, since: int, live: bool) -> list[LegUsed]:
        """The legs that were dialled in calls that ended at or after ``since`` (ms), and of live calls too if ``live``."""
        found, after = [], (since, "")
        while True:
            legs, last = await self._ended(*after)
            found += legs
            if last is None:
                break
            after = last
        if live:
            up = select(CALL.c.id, CALL.c.ended_at, CALL.c.state).where(
                CALL.c.ended_at.is_(None), CALL.c.started_at.is_not(None)
            )
            found += (await self._backend.read(lambda db: _legs(db, up)))[0]
        return found

    async def _ended(self, since: int, after: str) -> tuple[list[LegUsed], tuple[int, str] | None]:
        """In the order of their end, so that the index on it is walked."""
        beyond = tuple_(CALL.c.ended_at, CALL.c.id) > tuple_(since, after)
        query = select(CALL.c.id, CALL.c.ended_at, CALL.c.state).where(CALL.c.ended_at >= since, beyond)
        return await self._backend.read(lambda db: _legs(db, query.order_by(CALL.c.ended_at, CALL.c.id).limit(AT_ONCE)))

    async def list(
        self, tenant: str, which: ListName, number: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[ListEntry]:
        """A page of a list, newest first; ``number``: only that entry."""
        query = select(POLICY_LIST).where(POLICY_LIST.c.tenant == tenant, POLICY_LIST.c.list == which)
        if number is not None:
            query = query.where(POLICY_LIST.c.number == number)
        query = newest(POLICY_LIST, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _entry))


NOTHING_SET = text(
    "INSERT INTO policy (tenant, version, settings, end_calls, reason) VALUES (:tenant, 0, '{}', 0, '')"
    " ON CONFLICT (tenant) DO NOTHING"
)
"""Somebody else may be making the tenant's row at this moment."""


def _touch(db: Connection, tenant: str) -> None:
    """The tenant's row is there, locked, and of a new version."""
    grow = update(POLICY).where(POLICY.c.tenant == tenant).values(version=POLICY.c.version + 1)
    if db.execute(grow).rowcount == 0:
        db.execute(NOTHING_SET, {"tenant": tenant})
        db.execute(grow)


def _stop(row: AnyRow) -> Stop | None:
    return None if row.stopped_at is None else Stop(row.stopped_at, bool(row.end_calls), row.reason)


def _entry(row: AnyRow) -> ListEntry:
    return ListEntry(row.id, row.number, row.note, row.created_at)


def _legs(db: Connection, query: Select[Any]) -> tuple[list[LegUsed], tuple[int, str] | None]:
    """The legs of these calls, and where the next page begins, if there may be one."""
    rows = db.execute(query).all()
    last = (rows[-1].ended_at, rows[-1].id) if len(rows) == AT_ONCE else None
    return [leg for row in rows for leg in _dialled(row.state)], last


def _dialled(state: str) -> Iterator[LegUsed]:
    call = _calls.decode(state)
    for leg in call.legs:
        if leg.verdict is None and not leg.arrived and leg.dialed_at is not None:
            agents = call.vars.agent_wanted.leg if call.vars.agent_wanted else None
            callee = is_callee(call.kind, leg.name, call.legs[0].arrived, agents)
            yield LegUsed(leg.id, call.id, call.tenant, leg.number, callee, leg.dialed_at, leg.answered_at, leg.ended_at)
