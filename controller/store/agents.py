"""Agents, and which call each is assigned to: a call has one agent and an agent one call, by the database's own constraints.

Whatever changes the state that others see of an agent tells so in the same transaction (``agent.state``)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, and_, delete, func, literal_column, or_, select, update
from sqlalchemy.exc import IntegrityError

from controller.core.agent import Agent, AgentState, told
from controller.core.facts import Fact
from controller.ports import Live
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import Idempotency, Page
from controller.store.streams import News, tell
from controller.store.tables_agents import AGENT

FREE = (AGENT.c.state == literal_column("'on_duty'"), AGENT.c.call.is_(None))
"""As it stands in the index that is for it, so that this is used."""


class Agents:
    """All agents of all tenants.  ``publish``: told what was committed."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys
        self.publish: Callable[[Live], None] = lambda _live: None

    async def add(self, agent: Agent, now: int, idempotency: Idempotency | None = None) -> None:
        """A new agent.  Raises KeyTaken, NotSaved."""
        values = {name: getattr(agent, name) for name in Agent.__slots__} | {"idle_since": now}

        def job(db: Connection) -> Fact:
            add(db, AGENT, values, now, idempotency)
            return _tell(db, agent, now)

        async with self._keys.explained(idempotency):
            fact = await self._backend.write(job)
        self.publish(Live(agent.tenant, fact))

    async def find(self, tenant: str, agent_id: str) -> Agent | None:
        """One agent of a tenant."""
        query = select(AGENT).where(AGENT.c.id == agent_id, AGENT.c.tenant == tenant)
        return await self._backend.read(lambda db: one(db, query, _agent))

    async def of_number(self, tenant: str, number: str) -> Agent | None:
        """The agent of a tenant with this phone; of several the first that was made."""
        query = select(AGENT).where(AGENT.c.tenant == tenant, AGENT.c.number == number).order_by(AGENT.c.id)
        return await self._backend.read(lambda db: one(db, query, _agent))

    async def list(
        self, tenant: str, limit: int = 50, after: str | None = None, state: AgentState | None = None
    ) -> Page[Agent]:
        """A page of a tenant's agents, the newest first.  ``state``: only those; who is assigned to a call is busy."""
        query = select(AGENT).where(AGENT.c.tenant == tenant)
        if state is not None:
            said = AGENT.c.state == state
            query = query.where(or_(said, AGENT.c.call.is_not(None)) if state == "busy" else and_(said, AGENT.c.call.is_(None)))
        query = newest(AGENT, limit, after, query)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _agent))

    async def change(self, tenant: str, agent_id: str, now: int, values: dict[str, Any]) -> Agent | None:
        """Set ``name``, ``number`` or ``state``; None for one that is not there.  Raises NotSaved."""
        mine = select(AGENT).where(AGENT.c.id == agent_id, AGENT.c.tenant == tenant)

        def job(db: Connection) -> "_Moved | None":
            before = one(db, mine.with_for_update(), _agent)
            if before is None:
                return None
            after = replace(before, **values)
            idle = {"idle_since": now} if after.state != before.state else {}  # who goes on duty now is idle since now
            if values:
                db.execute(update(AGENT).where(AGENT.c.id == agent_id).values(values | idle))
            return after, _tell(db, after, now) if after.seen != before.seen else None

        return self._published(await self._backend.write(job))

    async def remove(self, tenant: str, agent_id: str, now: int) -> bool:
        """False for one that is not there.  Raises NotSaved."""
        mine = select(AGENT).where(AGENT.c.id == agent_id, AGENT.c.tenant == tenant)

        def job(db: Connection) -> "_Moved | None":
            gone = one(db, mine.with_for_update(), _agent)
            if gone is None:
                return None
            db.execute(delete(AGENT).where(AGENT.c.id == agent_id))
            return gone, _tell(db, gone, now, removed=True)

        return self._published(await self._backend.write(job)) is not None

    async def on_duty(self, tenant: str) -> int:
        """How many could take a call now."""
        query = select(func.count()).where(AGENT.c.tenant == tenant, *FREE)
        return await self._backend.read(lambda db: int(db.execute(query).scalar_one()))

    async def free(self, tenants: Sequence[str], agents: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Tenant and id of those who could take a call now: of these tenants' agents, who is idle longest first, and of these
        agents.  Raises Unavailable."""
        columns = select(AGENT.c.tenant, AGENT.c.id).where(*FREE)
        anybody = columns.where(AGENT.c.tenant.in_(tenants)).order_by(AGENT.c.idle_since, AGENT.c.id)
        queries = [*([anybody] if tenants else ()), *([columns.where(AGENT.c.id.in_(agents))] if agents else ())]
        return await self._backend.read(lambda db: [(row.tenant, row.id) for query in queries for row in db.execute(query)])

    async def known(self, agents: Sequence[str]) -> set[str]:
        """Which of these there still are.  Raises Unavailable."""
        query = select(AGENT.c.id).where(AGENT.c.id.in_(agents))
        return await self._backend.read(lambda db: set(db.execute(query).scalars()))

    async def claim(self, tenant: str, call: str, agent_id: str | None, now: int) -> Agent | None:
        """Assign an agent to a call: this one, or who is idle longest; who is assigned to it already stays so.  None: nobody is
        free.  Raises NotSaved."""
        wanted = () if agent_id is None else (AGENT.c.id == agent_id,)
        longest = select(AGENT.c.id).where(AGENT.c.tenant == tenant, *FREE, *wanted).order_by(AGENT.c.idle_since, AGENT.c.id)

        def job(db: Connection) -> "_Moved | None":
            assigned = select(AGENT).where(AGENT.c.call == call)
            if (found := one(db, assigned, _agent)) is not None:
                return found, None
            chosen = db.execute(longest.limit(1)).scalar_one_or_none()
            if chosen is None:
                return None
            try:
                db.execute(update(AGENT).where(AGENT.c.id == chosen, *FREE).values(call=call))
            except IntegrityError:  # another controller was quicker
                return None
            claimed = one(db, assigned, _agent)
            return None if claimed is None else (claimed, _tell(db, claimed, now))

        return self._published(await self._backend.write(job))

    async def release(self, call: str, now: int) -> bool:
        """The call is over, or will not begin: its agent is idle from now on.  Raises NotSaved."""

        def job(db: Connection) -> "_Moved | None":
            before = one(db, select(AGENT).where(AGENT.c.call == call).with_for_update(), _agent)
            if before is None:
                return None
            db.execute(update(AGENT).where(AGENT.c.id == before.id).values(call=None, idle_since=now))
            after = replace(before, call=None)
            return after, _tell(db, after, now) if after.seen != before.seen else None

        return self._published(await self._backend.write(job)) is not None

    def _published(self, moved: "_Moved | None") -> Agent | None:
        """The agent, of whom it is told now that it is committed."""
        if moved is None:
            return None
        agent, fact = moved
        if fact is not None:
            self.publish(Live(agent.tenant, fact))
        return agent

    async def assigned(self) -> Sequence[str]:
        """The calls that have an agent."""
        query = select(AGENT.c.call).where(AGENT.c.call.is_not(None))
        return await self._backend.read(lambda db: db.execute(query).scalars().all())


_Moved = tuple[Agent, Fact | None]
"""An agent after a change, and what was told of it."""


def _tell(db: Connection, agent: Agent, now: int, removed: bool = False) -> Fact:
    [fact] = tell(db, "agent.state", [News(agent.stream, agent.tenant, now, told(agent, removed), over=removed)], now)
    return fact


def _agent(row: AnyRow) -> Agent:
    return Agent(*(getattr(row, name) for name in Agent.__slots__))
