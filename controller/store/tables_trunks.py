"""Trunks that were added at run time."""

from controller.store.tables import Base, _ms, _table, _text


class TrunkRow(Base, table=True):
    """A trunk.  ``settings``: as in the configuration, as JSON, with its password.  ``draining_since``: as a node."""

    __tablename__ = "trunk"
    name: str = _text(primary_key=True)
    settings: str = _text()
    created_at: int = _ms()
    draining_since: int | None = _ms(nullable=True)


TRUNK = _table(TrunkRow)
