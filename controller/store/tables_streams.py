"""The table of streams.  What ``tables`` says of times and ids holds here too."""

from sqlalchemy import Column, Index, Text
from sqlmodel import Field

from controller.store.tables import Base, _ms, _table, _text, _where


class StreamRow(Base, table=True):
    """What is told of a binding, an agent or a node: for its facts what a call's row is for those of a call.

    ``id``: as ``fact`` and ``webhook_cursor`` have it in ``call``; ``tenant``: empty for a node; ``sequence``: of its last
    fact; ``over``: 1 when nothing more will be told.  ``old_from``: from when (ms) on its age counts: of its oldest fact, or of
    the end of what is kept whole until then; None before.  ``told_at``: of its last fact, None once no cursor is left."""

    __tablename__ = "stream"
    id: str = _text(primary_key=True)
    tenant: str = _text()
    reference: str | None = _text(nullable=True)
    metadata_: str | None = Field(sa_column=Column("metadata", Text, nullable=True))
    sequence: int = _ms()
    over: int = _ms()
    old_from: int | None = _ms(nullable=True)
    told_at: int | None = _ms(nullable=True)
    __table_args__ = (
        Index("ix_stream_old", "old_from", **_where("old_from IS NOT NULL")),
        Index("ix_stream_told", "told_at", **_where("told_at IS NOT NULL")),
    )


STREAM = _table(StreamRow)
