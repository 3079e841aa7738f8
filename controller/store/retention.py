"""Forgets what has been kept long enough."""

from sqlalchemy import Connection, delete, select

from controller.store import streams
from controller.store.backend import Backend
from controller.store.tables import CALL, CURSOR, FACT

_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_WIDTH = 10


def first_id_of(at: int) -> str:
    """What all ids made from a time (ms) on are not below: a ULID begins with its time.

    The database finds what is old by its ids, and need not look at all that was ever kept."""
    return "".join(_BASE_32[(at >> (5 * place)) & 31] for place in reversed(range(_TIME_WIDTH)))


class Retention:
    """Calls and bindings stay, as records; their timelines go."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def forget_facts(self, before: int, limit: int = 500) -> int:
        """Delete the facts, and what was to be delivered of them, of calls that ended before a time (ms); how many calls.  When
        there are no more, those of other streams: how many streams.

        At most ``limit`` at once, so that nobody waits long: call it again until it answers 0.  Raises NotSaved."""
        oldest = select(FACT.c.call).where(FACT.c.call < first_id_of(before)).distinct().order_by(FACT.c.call).limit(limit)
        query = select(CALL.c.id).where(CALL.c.id.in_(oldest), CALL.c.ended_at < before)
        calls = await self._backend.read(lambda db: list(db.execute(query).scalars()))
        if calls:
            await self._backend.write(lambda db: _forget(db, calls))
            return len(calls)
        return await self._backend.write(lambda db: streams.forget_facts(db, before, limit))


def _forget(db: Connection, calls: list[str]) -> None:
    db.execute(delete(CURSOR).where(CURSOR.c.call.in_(calls)))
    db.execute(delete(FACT).where(FACT.c.call.in_(calls)))
