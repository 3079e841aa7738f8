"""PBX nodes: those that were added at run time, and which of all get no new calls."""

from controller.store.tables import Base, _ms, _table, _text


class NodeRow(Base, table=True):
    """A node.  ``settings``: as in the configuration, as JSON, with its secrets; None for one of the configuration file, of
    which only the drain is kept.  ``draining_since``: it gets no new calls."""

    __tablename__ = "node"
    name: str = _text(primary_key=True)
    settings: str | None = _text(nullable=True)
    created_at: int = _ms()
    draining_since: int | None = _ms(nullable=True)


NODE = _table(NodeRow)
