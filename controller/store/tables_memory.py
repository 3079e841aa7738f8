"""The table of call memories.  What ``tables`` says of times and ids holds here too."""

from sqlalchemy import Index, Table, UniqueConstraint

from controller.store.tables import Base, _ms, _of, _text


class MemoryRow(Base, table=True):
    """Who reaches whom by dialling ``display``: ``party`` (who was called) reaches ``caller``, or ``forward_to`` if set.

    ``id``: of the leg that was dialled; a later call between the same ``display`` and ``party`` takes its place."""

    __tablename__ = "memory"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    display: str = _text()
    party: str = _text()
    caller: str = _text()
    forward_to: str | None = _text(nullable=True)
    reference: str | None = _text(nullable=True)
    created_at: int = _ms()
    expires_at: int = _ms()
    used_at: int | None = _ms(nullable=True)
    uses: int = _ms()
    __table_args__ = (
        UniqueConstraint("display", "party"),
        Index("ix_memory_tenant", "tenant", "id"),
        Index("ix_memory_expires_at", "expires_at"),
    )


def _table(model: type[Base]) -> Table:
    found: Table = Base.metadata.tables[str(model.__tablename__)]
    return found


MEMORY = _table(MemoryRow)
