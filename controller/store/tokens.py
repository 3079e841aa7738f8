"""Bearer tokens and lock-outs.  Of a token only the SHA-256 is kept, as of a key."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from controller.store import codec
from controller.store.backend import Backend
from controller.store.keys import key_of
from controller.store.queries import AnyRow, one
from controller.store.rows import Lockout, NewToken, Token
from controller.store.tables import API_KEY
from controller.store.tables_access import LOCKOUT, TOKEN

FAMILIES = 100
"""Grants of one key that live at once; a further one ends the oldest."""
REMEMBER_MS = 86_400_000
"""How long an expired token is known, so that who uses it hears that it has expired and is not taken for a guesser."""
LOCKOUTS = 10_000
"""How many lock-outs are kept; the first to end are forgotten first."""
Rotated = Literal["done", "reused"]


class Tokens:
    """The tokens of all keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def by_hash(self, sha256: str) -> Token | None:
        """The token with this hash, whatever its state and its key's."""
        columns = (TOKEN.c.kind, TOKEN.c.family, TOKEN.c.scopes.label("granted"), TOKEN.c.began_at, TOKEN.c.used_at)
        query = select(API_KEY, *columns, TOKEN.c.expires_at.label("until"))
        query = query.join(TOKEN, TOKEN.c.key == API_KEY.c.id).where(TOKEN.c.hash == sha256)
        return await self._backend.read(lambda db: one(db, query, _token))

    async def grant(self, key: str, family: str, now: int, tokens: Sequence[NewToken]) -> None:
        """The tokens of a new family.  Raises NotSaved."""

        def job(db: Connection) -> bool:
            _forget(db, key, now)
            _insert(db, key, family, now, tokens)
            return True

        await self._backend.write(job)

    async def rotate(self, sha256: str, old: Token, now: int, tokens: Sequence[NewToken]) -> Rotated:
        """Use a refresh token up for new tokens of its family.  When it was used before, somebody has a copy: the whole family
        ends.  Of two that use it at the same time one is the second.  Raises NotSaved."""

        def job(db: Connection) -> Rotated:
            db.execute(select(API_KEY.c.id).where(API_KEY.c.id == old.key.id).with_for_update(key_share=True))  # one by one
            unused = (TOKEN.c.hash == sha256, TOKEN.c.kind == "refresh", TOKEN.c.used_at.is_(None))
            if db.execute(update(TOKEN).where(*unused).values(used_at=now)).rowcount != 1:
                db.execute(delete(TOKEN).where(TOKEN.c.family == old.family))
                return "reused"
            _insert(db, old.key.id, old.family, old.began_at, tokens)
            return "done"

        return await self._backend.write(job)


def _insert(db: Connection, key: str, family: str, began_at: int, tokens: Sequence[NewToken]) -> None:
    same = {"key": key, "family": family, "began_at": began_at}
    for new in tokens:
        own = {"hash": new.hash, "kind": new.kind, "scopes": codec.encode_list(new.scopes), "expires_at": new.expires_at}
        db.execute(insert(TOKEN).values(**same, **own))


def _forget(db: Connection, key: str, now: int) -> None:
    """A key's tokens that have long expired, and its oldest families."""
    db.execute(delete(TOKEN).where(TOKEN.c.key == key, TOKEN.c.expires_at < now - REMEMBER_MS))
    began = func.max(TOKEN.c.began_at)
    families = select(TOKEN.c.family).where(TOKEN.c.key == key).group_by(TOKEN.c.family)
    many = list(db.execute(families.order_by(began.desc(), TOKEN.c.family.desc()).offset(FAMILIES - 1)).scalars())
    if many:
        db.execute(delete(TOKEN).where(TOKEN.c.family.in_(many)))


class Lockouts:
    """Who is not listened to, so that a restart does not make guessing cheap."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def put(self, lock: Lockout, now: int) -> None:
        """Keep a lock-out, and forget those that were over at ``now`` (ms).  Raises NotSaved."""

        def job(db: Connection) -> None:
            db.execute(delete(LOCKOUT).where((LOCKOUT.c.name == lock.name) | (LOCKOUT.c.until <= now)))
            if db.execute(select(func.count()).select_from(LOCKOUT)).scalar_one() >= LOCKOUTS:
                first = select(LOCKOUT.c.name).order_by(LOCKOUT.c.until).limit(1)
                db.execute(delete(LOCKOUT).where(LOCKOUT.c.name.in_(first)))
            db.execute(insert(LOCKOUT).values(name=lock.name, until=lock.until, locks=lock.locks))

        await self._backend.write(job)

    async def all(self, now: int) -> list[Lockout]:
        """Those that are not over at ``now`` (ms), the last to end first."""
        query = select(LOCKOUT).where(LOCKOUT.c.until > now).order_by(LOCKOUT.c.until.desc()).limit(LOCKOUTS)
        return await self._backend.read(lambda db: [Lockout(row.name, row.until, row.locks) for row in db.execute(query)])


def _token(row: AnyRow) -> Token:
    granted = codec.decode_list(row.granted)
    return Token(row.kind, row.family, key_of(row), granted, row.began_at, row.until, row.used_at)
