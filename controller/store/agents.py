"""Agents, and which call each is assigned to: a call has one agent and an agent one call, by the database's own constraints."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, literal_column, or_, select, update
from sqlalchemy.exc import IntegrityError

from controller.core.agent import Agent, AgentState
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import Idempotency, Page
from controller.store.tables_agents import AGENT

FREE = (AGENT.c.state == literal_column("'on_duty'"), AGENT.c.call.is_(None))
"""As it stands in the index that is for it, so that this is used."""


class Agents:
    """All agents of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def add(self, agent: Agent, now: int, idempotency: Idempotency | None = None) -> None:
        """A new agent.  Raises KeyTaken, NotSaved."""
        values = {name: getattr(agent, name) for name in Agent.__slots__} | {"idle_since": now}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, AGENT, values, now, idempotency))

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
        mine = (AGENT.c.id == agent_id, AGENT.c.tenant == tenant)

        def job(db: Connection) -> Agent | None:
            if values:
                if "state" in values:  # who goes on duty now is idle since now
                    db.execute(update(AGENT).where(*mine, AGENT.c.state != values["state"]).values(idle_since=now))
                db.execute(update(AGENT).where(*mine).values(values))
            return one(db, select(AGENT).where(*mine), _agent)

        return await self._backend.write(job)

    async def remove(self, tenant: str, agent_id: str) -> bool:
        """False for one that is not there.  Raises NotSaved."""
        change = delete(AGENT).where(AGENT.c.id == agent_id, AGENT.c.tenant == tenant)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

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

    async def claim(self, tenant: str, call: str, agent_id: str | None) -> Agent | None:
        """Assign an agent to a call: this one, or who is idle longest; who is assigned to it already stays so.  None: nobody is
        free.  Raises NotSaved."""
        wanted = () if agent_id is None else (AGENT.c.id == agent_id,)
        longest = select(AGENT.c.id).where(AGENT.c.tenant == tenant, *FREE, *wanted).order_by(AGENT.c.idle_since, AGENT.c.id)

        def job(db: Connection) -> Agent | None:
            assigned = select(AGENT).where(AGENT.c.call == call)
            if (found := one(db, assigned, _agent)) is not None:
                return found
            chosen = db.execute(longest.limit(1)).scalar_one_or_none()
            if chosen is None:
                return None
            try:
                db.execute(update(AGENT).where(AGENT.c.id == chosen, *FREE).values(call=call))
            except IntegrityError:  # another controller was quicker
                return None
            return one(db, assigned, _agent)

        return await self._backend.write(job)

    async def release(self, call: str, now: int) -> bool:
        """The call is over, or will not begin: its agent is idle from now on.  Raises NotSaved."""
        change = update(AGENT).where(AGENT.c.call == call).values(call=None, idle_since=now)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def assigned(self) -> Sequence[str]:
        """The calls that have an agent."""
        query = select(AGENT.c.call).where(AGENT.c.call.is_not(None))
        return await self._backend.read(lambda db: db.execute(query).scalars().all())


def _agent(row: AnyRow) -> Agent:
    return Agent(*(getattr(row, name) for name in Agent.__slots__))
