"""Requests with an Idempotency-Key: the first answer is kept and given again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from controller.audit import carrying
from controller.store.backend import Backend
from controller.store.errors import KeyTaken
from controller.store.queries import AnyRow, one
from controller.store.rows import Answer, Idempotency
from controller.store.tables import IDEMPOTENCY


class IdempotencyKeys:
    """Keys are a tenant's own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, tenant: str, key: str) -> Answer | None:
        """What is kept for this key."""
        query = select(IDEMPOTENCY).where(IDEMPOTENCY.c.tenant == tenant, IDEMPOTENCY.c.key == key)
        return await self._backend.read(lambda db: one(db, query, _answer))

    async def taken(self, idempotency: Idempotency) -> KeyTaken:
        """The error for a key that turned out to be taken, with what is kept for it."""
        found = await self.get(*idempotency[:2])
        return KeyTaken(found.fingerprint, found.status, found.response) if found else KeyTaken()

    @asynccontextmanager
    async def explained(self, idempotency: Idempotency | None) -> AsyncIterator[None]:
        """A KeyTaken from inside says what is kept for the key."""
        try:
            yield
        except KeyTaken:
            if idempotency is None:
                raise
            raise (await self.taken(idempotency)) from None

    async def begin(self, tenant: str, key: str, fingerprint: str, now: int) -> None:
        """Mark a request as in flight.  Raises KeyTaken when there was one with this key."""
        values = {"tenant": tenant, "key": key, "fingerprint": fingerprint, "status": "in_flight", "http_status": 0}

        def job(db: Connection) -> None:
            try:
                db.execute(insert(IDEMPOTENCY).values(**values, response=b"", at=now))
            except IntegrityError:
                raise KeyTaken from None

        async with self.explained((tenant, key, fingerprint, b"")):
            with carrying(None):  # the request has had no effect yet
                await self._backend.write(job)

    async def finish(self, tenant: str, key: str, fingerprint: str, status: int, response: bytes, now: int) -> None:
        """Keep the answer of a request in flight.  Raises NotSaved."""
        values = {"status": "done", "http_status": status, "response": response, "at": now}
        change = update(IDEMPOTENCY).where(*_of(tenant, key), IDEMPOTENCY.c.fingerprint == fingerprint).values(values)
        with carrying(None):
            await self._backend.write(lambda db: db.execute(change).rowcount)

    async def drop(self, tenant: str, key: str) -> None:
        """Forget a request in flight that failed: it may be made again.  Raises NotSaved."""
        with carrying(None):
            await self._backend.write(lambda db: db.execute(delete(IDEMPOTENCY).where(*_of(tenant, key))).rowcount)

    async def sweep(self, before: int) -> int:
        """Forget keys from before a time (ms); how many.  Raises NotSaved."""
        return await self._backend.write(lambda db: db.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.at < before)).rowcount)


def _of(tenant: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return (IDEMPOTENCY.c.tenant == tenant, IDEMPOTENCY.c.key == key)


def _answer(row: AnyRow) -> Answer:
    return Answer(row.fingerprint, row.http_status, bytes(row.response), row.at)
