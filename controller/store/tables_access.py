"""Tables of who may ask: tokens and lock-outs.  What ``tables`` says of times and ids holds here too."""

from sqlalchemy import Column, Index, Table, Text
from sqlmodel import Field

from controller.store.tables import Base, _ms, _of, _text


class TokenRow(Base, table=True):
    """A bearer token made for a key: an ``access`` token, or a ``refresh`` token that buys the next pair once.

    ``family``: all tokens that came of one grant, which end together when a refresh token is used twice.  ``began_at``: of the
    family.  Only the SHA-256 is kept."""

    __tablename__ = "oauth_token"
    hash: str = _text(primary_key=True)
    kind: str = _text()
    family: str = _text()
    key: str = _of("api_key.id")
    scopes: str = _text()
    began_at: int = _ms()
    expires_at: int = _ms()
    used_at: int | None = _ms(nullable=True)
    __table_args__ = (Index("ix_oauth_token_key", "key", "expires_at"), Index("ix_oauth_token_family", "family"))


class LockoutRow(Base, table=True):
    """An address, key prefix or client id (``name``) that failed too often and is not listened to until then."""

    __tablename__ = "lockout"
    name: str = Field(sa_column=Column(Text, primary_key=True))
    until: int = _ms()
    locks: int = _ms()


def _table(model: type[Base]) -> Table:
    found: Table = Base.metadata.tables[str(model.__tablename__)]
    return found


TOKEN = _table(TokenRow)
LOCKOUT = _table(LockoutRow)
