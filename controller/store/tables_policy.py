"""Tables of the policy.  What ``tables`` says of times and ids holds here too."""

from sqlalchemy import Column, Index, Table, Text, UniqueConstraint
from sqlmodel import Field

from controller.store.tables import CALL, Base, _ms, _of, _text, _where


class PolicyRow(Base, table=True):
    """What a tenant has set itself (JSON), and its kill switch; the tenant ``""`` stands for everybody.

    ``version`` grows with each change of the row or of the tenant's lists."""

    __tablename__ = "policy"
    tenant: str = Field(sa_column=Column(Text, primary_key=True))
    version: int = _ms()
    settings: str = _text()
    stopped_at: int | None = _ms(nullable=True)
    end_calls: int = _ms()
    reason: str = _text()


class PolicyListRow(Base, table=True):
    """A number, or the beginning of numbers, on one of a tenant's lists: ``block``, ``allow`` or ``dnc``."""

    __tablename__ = "policy_list"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    list: str = _text()
    number: str = _text()
    note: str = _text()
    created_at: int = _ms()
    __table_args__ = (UniqueConstraint("tenant", "list", "number"), Index("ix_policy_list_tenant", "tenant", "list", "id"))


def _table(model: type[Base]) -> Table:
    found: Table = Base.metadata.tables[str(model.__tablename__)]
    return found


POLICY = _table(PolicyRow)
POLICY_LIST = _table(PolicyListRow)

ENDED = Index("ix_call_ended", CALL.c.ended_at, **_where("ended_at IS NOT NULL"))
"""After a start the counters come from the calls that have ended since yesterday."""
