"""The tables of agents and of who spoke to them.  What ``tables`` says of times and ids holds here too."""

from sqlalchemy import Index, Table

from controller.store.tables import Base, _ms, _of, _text, _where


class AgentRow(Base, table=True):
    """Somebody who takes calls.  ``state``: what they said: on_duty, busy or away.  ``call``: the one that they, and no other
    agent, are assigned to; ``idle_since``: of the last call's end, or of going on duty."""

    __tablename__ = "agent"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    name: str = _text()
    number: str = _text()
    state: str = _text()
    call: str | None = _text(nullable=True)
    idle_since: int = _ms()
    created_at: int = _ms()
    __table_args__ = (
        Index("ix_agent_tenant", "tenant", "id"),
        Index("ix_agent_number", "tenant", "number", "id"),
        Index("ix_agent_call", "call", unique=True, **_where("call IS NOT NULL")),
        Index("ix_agent_free", "tenant", "idle_since", "id", **_where("state = 'on_duty' AND call IS NULL")),
    )


class ForgottenRow(Base, table=True):
    """To whom this customer spoke by this X before ``at`` is not looked at any more."""

    __tablename__ = "forgotten"
    tenant: str = _of("tenant.id", primary_key=True)
    x: str = _text(primary_key=True)
    customer: str = _text(primary_key=True)
    at: int = _ms()
    __table_args__ = (Index("ix_forgotten_at", "at"),)


def _table(model: type[Base]) -> Table:
    found: Table = Base.metadata.tables[str(model.__tablename__)]
    return found


AGENT, FORGOTTEN = _table(AgentRow), _table(ForgottenRow)
