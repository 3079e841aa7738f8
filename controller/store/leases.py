"""Who owns a node, and which controllers live.  Time is the database's, so that two machines with different clocks agree."""

from collections.abc import Callable

from sqlalchemy import BigInteger, Connection, cast, delete, func, insert, literal_column, select, update

from controller.ports import LEASE_LIFE_S
from controller.store.backend import Backend
from controller.store.queries import AnyRow, one
from controller.store.rows import Lease
from controller.store.tables import LEASE

LIFE_MS = round(LEASE_LIFE_S * 1000)
PRESENT = "controller/"
"""Begins the key of a lease that a controller has on nothing but its own life; no node's name has a slash."""
LOST = -1
"""An epoch that no lease has: what is written under it is refused."""
CLOCKS = {
    "postgresql": cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger),
    "sqlite": literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger),
}
"""Milliseconds since the epoch by the database's clock."""


class Held:
    """The epochs under which this process writes, by node."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}

    def epoch(self, node: str) -> int:
        """0 for a node that was never leased here: there is one process, and no lease to check."""
        return self._epochs.get(node, 0)

    def hold(self, node: str, epoch: int) -> None:
        """From now on writes to the node's calls carry this epoch."""
        self._epochs[node] = epoch


class NodeLeases:
    """Implements ``ports.Leases``.  ``is_dead``: knows of an owner that it runs no more, so that nobody waits for it."""

    def __init__(self, backend: Backend, held: Held, is_dead: Callable[[str], bool]) -> None:
        self._backend, self._held, self._is_dead = backend, held, is_dead
        self._now = CLOCKS[backend.dialect]

    async def take(self, node: str, owner: str) -> int | None:
        """The new epoch, or None while another owner's lease lives.  Raises NotSaved."""
        found = await self.holder(node)
        dead = found.owner if found is not None and self._is_dead(found.owner) else None
        epoch = await self._backend.write(lambda db: self._take(db, node, owner, dead))
        if epoch is not None:
            self._held.hold(node, epoch)
        return epoch

    def _take(self, db: Connection, node: str, owner: str, dead: str | None) -> int | None:
        # One who waits for the row's lock sees what the other wrote: the conditions are looked at again after the wait.
        free = (LEASE.c.expires_at <= self._now) | (LEASE.c.owner == owner) | (LEASE.c.owner == (dead or owner))
        values = {"owner": owner, "epoch": LEASE.c.epoch + 1, "expires_at": self._now + LIFE_MS}
        row = db.execute(update(LEASE).where(LEASE.c.node == node, free).values(values).returning(LEASE.c.epoch)).first()
        if row is not None:
            return int(row.epoch)
        if db.execute(select(LEASE.c.node).where(LEASE.c.node == node)).first() is not None:
            return None
        db.execute(insert(LEASE).values(node=node, owner=owner, epoch=1, expires_at=self._now + LIFE_MS))
        return 1

    async def renew(self, node: str, owner: str, epoch: int) -> bool:
        """False when the lease is no longer ours.  Raises NotSaved."""
        ours = (LEASE.c.node == node, LEASE.c.owner == owner, LEASE.c.epoch == epoch)
        change = update(LEASE).where(*ours).values(expires_at=self._now + LIFE_MS)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def release(self, node: str, owner: str, epoch: int) -> None:
        """Give it up now: another may take it at once, and we write nothing more under it.  Raises NotSaved."""
        if self._held.epoch(node) == epoch:
            self._held.hold(node, LOST)
        ours = (LEASE.c.node == node, LEASE.c.owner == owner, LEASE.c.epoch == epoch)
        await self._backend.write(lambda db: db.execute(update(LEASE).where(*ours).values(expires_at=0)).rowcount)

    async def holder(self, node: str) -> Lease | None:
        """Who owns a node, or did last."""
        query = select(LEASE, (LEASE.c.expires_at > self._now).label("lives")).where(LEASE.c.node == node)
        return await self._backend.read(lambda db: one(db, query, _lease))

    async def living(self) -> list[Lease]:
        """Every lease that lives, of whatever node, and of each controller.  Raises Unavailable."""
        query = select(LEASE, (LEASE.c.expires_at > self._now).label("lives")).where(LEASE.c.expires_at > self._now)
        return await self._backend.read(lambda db: [_lease(row) for row in db.execute(query.order_by(LEASE.c.node))])

    async def present(self, owner: str) -> None:
        """Say that a controller lives, whatever nodes it has; for as long as a lease.  Raises NotSaved."""
        await self._backend.write(lambda db: self._present(db, owner))

    def _present(self, db: Connection, owner: str) -> None:
        values = {"node": PRESENT + owner, "owner": owner, "epoch": 0, "expires_at": self._now + LIFE_MS}
        if db.execute(update(LEASE).where(LEASE.c.node == PRESENT + owner).values(values)).rowcount == 0:
            gone = (LEASE.c.node.startswith(PRESENT), LEASE.c.expires_at <= self._now)  # they were killed, and said nothing
            db.execute(delete(LEASE).where(*gone))
            db.execute(insert(LEASE).values(values))

    async def absent(self, owner: str) -> None:
        """It has gone.  Raises NotSaved."""
        await self._backend.write(lambda db: db.execute(delete(LEASE).where(LEASE.c.node == PRESENT + owner)).rowcount)

    async def is_held(self, node: str) -> bool:
        """Whether anybody's lease on it lives."""
        found = await self.holder(node)
        return found is not None and found.lives


def _lease(row: AnyRow) -> Lease:
    return Lease(row.node, row.owner, row.epoch, row.expires_at, bool(row.lives))
