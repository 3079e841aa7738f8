"""API keys: 32 random bytes, of which only the SHA-256 is kept; so much chance needs no slow hash."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update

from controller.store import codec
from controller.store.backend import Backend
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import ApiKey, Idempotency, Page
from controller.store.tables import API_KEY

MARK = "pb_"
"""What every key begins with, so that a secret scanner knows one."""
SHOWN = 10
"""How many characters of a key are kept to tell it from others."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; ``text`` is shown once and kept nowhere."""

    text: str = field(repr=False)
    prefix: str
    hash: str = field(repr=False)


def new_key() -> NewKey:
    """A key nobody has had."""
    text = new_secret(MARK)
    return NewKey(text, text[:SHOWN], hash_of(text))


def new_secret(mark: str) -> str:
    """32 random bytes behind this mark."""
    return mark + secrets.token_urlsafe(32)


def hash_of(text: str) -> str:
    """What is kept of a key: SHA-256, hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKeys:
    """The keys of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def by_hash(self, sha256: str) -> ApiKey | None:
        """The key with this hash, revoked or not."""
        return await self._backend.read(lambda db: one(db, select(API_KEY).where(API_KEY.c.hash == sha256), key_of))

    async def add(
        self,
        tenant: str,
        key_id: str,
        name: str,
        prefix: str,
        sha256: str,
        scopes: tuple[str, ...],
        now: int,
        idempotency: Idempotency | None = None,
        expires_at: int | None = None,
    ) -> None:
        """A new key, by its hash.  Raises KeyTaken, Taken, NotSaved."""
        told = {"id": key_id, "tenant": tenant, "name": name, "prefix": prefix, "created_at": now, "expires_at": expires_at}
        values = {**told, "hash": sha256, "scopes": codec.encode_list(scopes)}
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, API_KEY, values, now, idempotency))

    async def revoke(self, tenant: str, key_id: str, now: int) -> bool:
        """End a key; False for one that the tenant does not have or that is revoked.  Raises NotSaved."""
        mine = (API_KEY.c.id == key_id, API_KEY.c.tenant == tenant, API_KEY.c.revoked_at.is_(None))
        return await self._backend.write(
            lambda db: db.execute(update(API_KEY).where(*mine).values(revoked_at=now)).rowcount == 1
        )

    async def get(self, tenant: str, key_id: str) -> ApiKey | None:
        """One key of this tenant."""
        query = select(API_KEY).where(API_KEY.c.id == key_id, API_KEY.c.tenant == tenant)
        return await self._backend.read(lambda db: one(db, query, key_of))

    async def used(self, at: Mapping[str, int]) -> None:
        """When (ms) keys, by their ids, were last used.  Raises NotSaved."""
        await self._backend.write(lambda db: _used(db, at))

    async def list(self, tenant: str, limit: int = 50, after: str | None = None) -> Page[ApiKey]:
        """A page of a tenant's keys."""
        query = newest(API_KEY, limit, after, select(API_KEY).where(API_KEY.c.tenant == tenant))
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, key_of))


def _used(db: Connection, at: Mapping[str, int]) -> None:
    for key_id, when in at.items():
        db.execute(update(API_KEY).where(API_KEY.c.id == key_id).values(last_used_at=when))


def key_of(row: AnyRow) -> ApiKey:
    """A key from its row."""
    times = (row.created_at, row.revoked_at, row.expires_at, row.last_used_at)
    return ApiKey(row.id, row.tenant, row.name, row.prefix, codec.decode_list(row.scopes), *times)
