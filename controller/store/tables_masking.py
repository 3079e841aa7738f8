"""Masked numbers: X numbers and their pools, bindings, and who is meant on which X.

That two conversations cross is impossible by three constraints: a claim (x, party, extension) is there once; it belongs to one
binding; and all claims on an X have the use that the X has, so that one which anyone may dial serves nobody else.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlmodel import Field

from controller.store.tables import Base, _ms, _of, _table, _text, _where


class PoolRow(Base, table=True):
    """A pool of X numbers.  ``area_match``: strict or loose; ``unknown``: what becomes of a phone that is not known."""

    __tablename__ = "pool"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    name: str = _text()
    area_match: str = _text()
    cool_ms: int = _ms()
    unknown: str = _text()
    prompt: str | None = _text(nullable=True)
    created_at: int = _ms()
    __table_args__ = (UniqueConstraint("tenant", "name"),)


class XNumberRow(Base, table=True):
    """What makes an owned number an X: where it may be chosen from, and what it is used for now.

    ``use``: None until its first binding; ``spot``: its place in the pool's round, by chance; ``idle_from``, ``taken_until``:
    of an X that anyone may dial: from when nobody is bound to it, and until when nobody else may be (ms).  ``route``: JSON,
    what becomes of calls that no binding takes."""

    __tablename__ = "x_number"
    number: str = Field(sa_column=Column(Text, ForeignKey("display_number.number", ondelete="CASCADE"), primary_key=True))
    tenant: str = _of("tenant.id")
    area: str = _text()
    state: str = _text()
    pool: str | None = Field(sa_column=Column(Text, ForeignKey("pool.id"), nullable=True))
    use: str | None = _text(nullable=True)
    spot: int = _ms()
    idle_from: int = _ms()
    taken_until: int = _ms()
    route: str | None = _text(nullable=True)
    __table_args__ = (
        CheckConstraint("state IN ('active', 'locked', 'frozen')", name="ck_x_number_state"),
        UniqueConstraint("number", "use"),
        Index("ix_x_number_pool", "pool", "spot"),
        Index("ix_x_number_tenant", "tenant"),
    )


class BindingRow(Base, table=True):
    """A binding, also after its end.  ``rules``: JSON with directions and lists; absent numbers are empty texts."""

    __tablename__ = "binding"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    mode: str = _text()
    a: str = _text()
    b: str = _text()
    x: str = _text()
    y: str = _text()
    extension: str = _text()
    a_pin: str = _text()
    b_pin: str = _text()
    temporary: str = _text()
    temporary_until: int = _ms()
    pool: str = _text()
    area: str = _text()
    rules: str = _text()
    ttl_ms: int | None = _ms(nullable=True)
    ttl_from: str = _text()
    cool_ms: int = _ms()
    reference: str | None = _text(nullable=True)
    metadata_: str | None = Field(sa_column=Column("metadata", Text, nullable=True))
    created_at: int = _ms()
    expires_at: int = _ms()
    last_call_at: int | None = _ms(nullable=True)
    ended_at: int | None = _ms(nullable=True)
    state: str = _text()
    sequence: int = _ms()
    __table_args__ = (
        CheckConstraint("state IN ('active', 'released', 'expired')", name="ck_binding_state"),
        Index("ix_binding_tenant", "tenant", "id"),
        Index("ix_binding_a", "a"),
        Index("ix_binding_b", "b", **_where("b <> ''")),
        Index("ix_binding_x", "x"),
        Index("ix_binding_reference", "tenant", "reference", **_where("reference IS NOT NULL")),
        Index("ix_binding_due", "expires_at", **_where("state = 'active'")),
    )


class ClaimRow(Base, table=True):
    """On ``x`` a call of ``party`` is a call of this side of the binding, and can be no other's until ``taken_until`` (ms).

    That is the binding's end and what it takes to cool off; from then on the row is dead, and whoever wants it may take it."""

    __tablename__ = "binding_claim"
    x: str = _text(primary_key=True)
    party: str = _text(primary_key=True)
    extension: str = _text(primary_key=True)
    use: str = _text()
    side: str = _text()
    binding: str = Field(sa_column=Column(Text, ForeignKey("binding.id", ondelete="CASCADE"), nullable=False))
    taken_until: int = Field(sa_column=Column(BigInteger, nullable=False))
    __table_args__ = (
        ForeignKeyConstraint(["x", "use"], ["x_number.number", "x_number.use"], name="fk_binding_claim_x_use"),
        Index("ix_binding_claim_party", "party", "extension"),
        Index("ix_binding_claim_binding", "binding"),
        Index("ix_binding_claim_dead", "taken_until", **_where("taken_until < 9007199254740991")),
    )


class WrongKeyRow(Base, table=True):
    """Somebody keyed in what opens nothing, and is not kept.  ``id``: of the question; ``caller``: empty if withheld."""

    __tablename__ = "wrong_key"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    x: str = _text()
    caller: str = _text()
    at: int = _ms()
    __table_args__ = (Index("ix_wrong_key_tenant", "tenant", "at"),)


POOL = _table(PoolRow)
X_NUMBER = _table(XNumberRow)
BINDING = _table(BindingRow)
CLAIM = _table(ClaimRow)
WRONG_KEY = _table(WrongKeyRow)
